//! Signals come in over real sockets, files and processes, are judged, and go out again over the admin API and as metrics.
//!
//! | file | the promise |
//! |---|---|
//! | `examples.rs` | each ready-made entry of `config.example.toml` reads its API's answer and refuses its failures |
//! | `http.rs` | a web server is asked politely, and followed nowhere else |
//! | `api.rs` | whoever has the token may push; who has not, or pushes nonsense, changes nothing |
//! | `kinds.rs` | files, commands and schedules |
//! | `jobs.rs` | difficulty and rewards come from the pools' own jobs |
//! | `mqtt.rs` | a real broker, in the clear and in TLS |

mod api;
mod broker;
mod examples;
mod http;
mod jobs;
mod kinds;
mod mqtt;
mod site;
mod web;
