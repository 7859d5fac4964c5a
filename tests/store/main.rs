//! What the store promises, of a SQLite file and of a PostgreSQL server alike: what went in is there, it grows old as the config says, and
//! nothing that happens to it keeps the proxy from going on.

#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../sim_pool/client.rs"]
mod client;
mod crash;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../failures/world.rs"]
mod farm;
mod layout;
mod outage;
mod pages;
mod proxy;
mod world;
