//! The world around the proxy, simulated: it speaks TCP like a stranger and never calls into the proxy.
pub mod ai_site;
pub mod load;
pub mod miner;
pub mod plant;
pub mod pool;
