//! The world around the proxy, simulated: it speaks TCP and HTTP like a stranger and never calls into the proxy.
pub mod ai_site;
mod draw;
pub mod firmware;
mod http;
pub mod load;
pub mod miner;
pub mod plant;
pub mod pool;
pub mod prices;
pub mod site;
