//! What the power side asks of a running proxy: a census of its miners, word of those that sleep, and pools that are tried at once.

mod census;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../sim_pool/client.rs"]
mod client;
mod rouse;
mod sleepers;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../failures/world.rs"]
mod world;
