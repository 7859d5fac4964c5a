//! hashgate
pub mod config;
pub mod sim;
pub mod work;
