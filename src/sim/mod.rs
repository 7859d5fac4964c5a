//! sim
pub mod pool;
pub mod miner;
pub mod load;
