//! hashgate
pub mod config;
pub mod hash;
pub mod router;
pub mod sim;
pub mod stratum;
pub mod work;
