//! hashgate
pub mod config;
pub mod downstream;
pub mod hash;
pub mod router;
pub mod sim;
pub mod stratum;
pub mod work;
