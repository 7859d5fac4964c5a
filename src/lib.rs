//! hashgate
pub mod config;
pub mod downstream;
pub mod sim;
pub mod work;
