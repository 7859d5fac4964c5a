//! `hashgate` stands between a mining site's ASICs and its pools: it terminates the miners' Stratum V1 connections, verifies every
//! share itself, and forwards to the pools what the pools credit.
//!
//! The map, from the ground up; imports go down only (`tests/tidy.rs`):
//!
//! | floor | modules |
//! |---|---|
//! | roof: wiring, command line | [`app`], [`cli`], [`demo`] |
//! | second: tasks that own sockets, clocks and disks | [`downstream`], [`upstream`], [`router`] (their `task.rs`), [`metrics`], [`state`], [`limits`], [`config`], [`sim`] |
//! | first: state machines; time is an argument | [`downstream`], [`upstream`], [`router`] (all but their `task.rs`) |
//! | ground: bytes in, values out | [`hash`], [`work`], [`stratum`] |
//!
//! To run a proxy inside another program, see [`app::Proxy`] and `examples/embedded.rs`.

pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod downstream;
pub mod hash;
pub mod limits;
pub mod metrics;
pub mod router;
pub mod sim;
pub mod state;
pub mod stratum;
pub mod upstream;
pub mod work;
