//! hashgate
pub mod config;
pub mod hash;
pub mod sim;
pub mod stratum;
pub mod work;
