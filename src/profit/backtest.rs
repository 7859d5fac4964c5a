//! History replayed through the live decision engine: what this very policy would have earned, beside what others would have.
//!
//! Knows series, a config's groups and virtual time; opens no file and reads no clock. The rules that decide are the engine's own
//! (`decision.rs`); nothing here knows a threshold.
//!
//! ```text
//! csv.rs ── series.rs ── field.rs: what held, what was known ─┬─ engine ── replay.rs ──────┬─ report.rs ─┬─ table.rs
//!                                                             └─ reference.rs: five others ┘             └─ html.rs
//!                                                                 machine.rs: sleeping and waking take time
//! ```
//!
//! **No look-ahead.** A price is known one interval late, a row of bitcoin a day late; what is settled is what held. Whatever the
//! future of a series is changed to, decisions before that are the same (`tests/backtest.rs`).
//!
//! Limits: series, days and intervals are bounded in `series.rs`. Mining is its expectation (no luck, no pool's scheme); groups
//! move as a whole and without ramps; a signal without history is left out and named.

mod account;
mod csv;
mod field;
mod html;
mod machine;
mod policy;
mod reference;
mod replay;
mod report;
mod series;
mod table;

pub use self::{
    csv::{CsvError, CsvOptions, Mended, read_ai, read_btc, read_demand, read_power},
    field::{Field, FieldError, History, Window},
    html::page,
    policy::replay,
    reference::Player,
    replay::{Doing, GroupReplay, Order, Replay, play},
    report::{BestDay, GroupReport, PlayerRow, Report, Span},
    series::{BtcDay, BtcDays, PowerPrices, Steps},
    table::Tables,
};
