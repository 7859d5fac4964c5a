//! Drivers of real makes' firmware, over loopback, against simulated firmware that speaks their wire formats and lies.
//!
//! | file | the promise |
//! |---|---|
//! | `matrix.rs` | whatever a firmware does, its driver says it in time and says it truly; driver × fault, printed |
//! | `promises.rs` | sessions are ended, logins kept, modes given back, secrets shown to nobody |
//! | `commands.rs` | `hashgate asic` does one by hand and shows what was said |

mod commands;
mod matrix;
mod promises;
mod world;
