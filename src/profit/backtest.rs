//! Backtest
mod account;
mod csv;
mod machine;
mod reference;
mod series;
pub use self::{account::*,csv::*,machine::*,reference::*,series::*};
