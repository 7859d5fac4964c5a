//! hashgate
pub mod config;
pub mod hash;
pub mod sim;
pub mod stratum;
pub mod upstream;
pub mod work;
