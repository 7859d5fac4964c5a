//! What puts machines to sleep and tells their watts, over real sockets and processes, against servers that behave badly.
//!
//! | file | the promise |
//! |---|---|
//! | `orders.rs` | an order is sent or it isn't, and why is told; a miner's name changes nothing but its place |
//! | `meters.rs` | what a machine draws is read, and what it can't draw is not |
//! | `mqtt.rs` | a real broker: readings as they come, from whom they come |
//! | `agreement.rs` | what `hashgate check` takes can be built, and what could be built is taken |
//! | `tls.rs` | a server with a certificate of its own is trusted by whom that was told, and by nobody else |
//! | `sockets.rs` | thousands of machines are not thousands of sockets |

mod agreement;
#[path = "../signals/broker.rs"]
mod broker;
mod meters;
mod mqtt;
mod orders;
mod server;
mod sockets;
mod tls;
mod world;
