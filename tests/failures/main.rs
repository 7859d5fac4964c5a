//! What broke in other proxies is shown not to break here: real sockets, simulated pools that fail to order, simulated and
//! hand-made miners. Each module is a promise.

#[path = "../sim_pool/client.rs"]
mod client;
mod hostile;
mod layouts;
mod pool_loss;
mod quiet_pool;
mod restart;
mod storm;
mod version_mask;
mod world;
