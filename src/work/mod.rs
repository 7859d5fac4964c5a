//! Mining work as values: difficulty and hashrate.

mod difficulty;

pub use difficulty::{Difficulty, Hashrate};
