//! A running proxy is given another config: no miner is disconnected, no share is lost or left without an answer, and what can't be followed
//! is said. Real sockets, simulated pools, simulated and hand-made miners.
//!
//! | file | the promise |
//! |---|---|
//! | `pools.rs` | pools come, go and change under full load; a slip of the pen costs nothing |
//! | `routes.rs` | miners go where the new routes lead, on the connections they have |
//! | `listeners.rs` | addresses, difficulty and limits change for who is there and who comes |
//! | `money.rs` | thresholds and policy are those of the next decision, groups come and go in it, signals keep what they have said |
//! | `watts.rs` | groups, machines, signals and lease terms change where machines are moved: who sleeps sleeps on, what is lent stays lent, and a config that would leave anybody behind is refused |
//! | `refused.rs` | a config that can't be had is refused whole, what needs a restart waits for one |
//! | `shown.rs` | the admin API and the store name what there is now |
//! | `binary.rs` | SIGHUP, the file's change and an operator's order do all that in the real binary; tokens change |

mod binary;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../sim_pool/client.rs"]
mod client;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../drain/world.rs"]
mod farm;
mod listeners;
mod money;
mod pools;
mod refused;
mod routes;
mod shown;
mod site;
mod watts;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../failures/world.rs"]
mod world;
