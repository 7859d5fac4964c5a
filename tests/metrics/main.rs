//! What Prometheus scrapes, and what is made of it: names that keep to the conventions, a number of series that no miner can raise, alert rules
//! that fire when they should, a dashboard that asks for nothing that is not there.
//!
//! | file | the promise |
//! |---|---|
//! | `scraped.rs` | everything there is is exported, with help and type, and `promtool check metrics` finds nothing |
//! | `hostile.rs` | whatever miners send, they add no more series than is written, and end no label |
//! | `certificates.rs` | when servers' certificates end is known, pinned ones as well |
//! | `deployed.rs` | the rules are right by `promtool` and their own tests; rules and dashboard name what is exported |
//!
//! Where Debian's `prometheus` is missing, what needs `promtool` says so and passes; with `HASHGATE_NEED_PROMTOOL` set it fails.

mod certificates;
#[allow(dead_code, reason = "other tests need more of it")]
#[path = "../sim_pool/client.rs"]
mod client;
mod deployed;
mod hostile;
mod promtool;
mod scrape;
mod scraped;
mod site;
