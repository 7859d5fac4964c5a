//! hashgate
pub mod config;
pub mod sim;
