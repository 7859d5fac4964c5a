//! Work.
mod difficulty;

pub use difficulty::Difficulty;
