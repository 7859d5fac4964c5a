//! sim
pub mod load;
pub mod miner;
pub mod pool;
