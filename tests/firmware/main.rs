//! Drivers of real makes' firmware, over loopback, against simulated firmware that speaks their wire formats and lies.
//!
//! | file | the promise |
//! |---|---|
//! | `matrix.rs` | whatever a firmware does, its driver says it in time and says it truly; driver × fault, printed |
//! | `promises.rs` | sessions are ended, logins kept, modes given back, secrets shown to nobody |
//! | `asic_rs.rs` | other makes, with the feature `asic-rs`: told in time, and with no password that nobody gave |
//! | `commands.rs` | `hashgate asic` does one by hand and shows what was said |

#[cfg(feature = "asic-rs")]
mod asic_rs;
mod commands;
mod matrix;
mod promises;
mod world;
