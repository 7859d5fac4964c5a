//! `hashgate` stands between a mining site's ASICs and its pools: it terminates the miners' Stratum V1 connections, verifies every
//! share itself, and forwards to the pools what the pools credit.
//!
//! The map, from the ground up; imports go down only (`tests/tidy/`):
//!
//! | floor | modules |
//! |---|---|
//! | roof: wiring, command line | [`app`], [`cli`], [`demo`] |
//! | beside the proxy: the simulated world, which imports nothing of it | [`sim`] |
//! | second: own sockets, clocks, disks, threads | `task.rs` of [`downstream`], [`upstream`] (with `connect.rs`), [`router`], [`profit`] and [`power`], `downstream/gate.rs`, `source/` of [`profit`], `journal.rs`, `actuator/`, `meter/` and `compute/` of [`power`], [`api`], [`http`], `tls.rs`, `command.rs`, [`metrics`], [`census`], [`store`], [`reload`], [`state`], [`limits`], `lock.rs` |
//! | first: state machines; time is an argument | the rest of [`downstream`], [`upstream`], [`router`], [`profit`] and [`power`] |
//! | what the operator decided, as values | [`config`] |
//! | ground: bytes in, values out | [`hash`], [`work`], [`stratum`]; the units and formulas of [`profit`] |
//!
//! To run a proxy inside another program, see [`app::Proxy`] and `examples/`. Why it is laid out so: `ARCHITECTURE.md`.

pub mod api;
pub mod app;
pub mod census;
pub mod cli;
mod command;
pub mod config;
pub mod demo;
pub mod downstream;
pub mod hash;
pub mod http;
pub mod limits;
mod lock;
pub mod metrics;
pub mod power;
pub mod profit;
pub mod reload;
pub mod router;
pub mod sim;
pub mod state;
pub mod store;
pub mod stratum;
mod tls;
pub mod upstream;
pub mod work;
