//! hashgate
pub mod config;
pub mod downstream;
pub mod hash;
pub mod metrics;
pub mod router;
pub mod sim;
pub mod state;
pub mod stratum;
pub mod upstream;
pub mod work;
