//! Money: what mining earns, what power costs, what AI compute pays, and so what each power group should do.
//!
//! ```text
//! signals ── readings ── economics: margins at the site meter ── decision: mine, AI or curtail, with a reason ── (power)
//! ```
//! Decides and says why; moves no miner and no watt. Nothing here is on a share's or a job's way.
//!
//! | file | what |
//! |---|---|
//! | `units.rs` | money, power and their ratios as types; the site's currency |
//! | `quantity.rs` | the units that people and APIs write, and their canonical ones |
//! | `signal/` | the signal book: what sources said, what of it counts now, what was refused |
//! | `extract.rs`, `schedule.rs` | observations from a document; from hours of the week |
//! | `source/` | where signals come from: a task for each kind |
//! | `task.rs` | the loop: sources, the signal book, the engine, and who is told |
//! | `economics.rs` | the formulas: what a MWh earns and costs, at the site meter |
//! | `reading.rs` | what a signal says at a moment: fresh, stale, split or never seen |
//! | `inputs.rs` | what an evaluation looks at: the readings of the signals that the config names |
//! | `decision.rs` | the engine: from readings to what each group does, and why |
//! | `backtest.rs` | history replayed through the engine, beside references, and the report |

pub mod backtest;
mod decision;
mod economics;
mod extract;
mod inputs;
mod quantity;
mod reading;
mod schedule;
pub mod signal;
pub mod source;
pub mod task;
mod templates;
mod units;

pub use decision::{
    AiDecision, AiReason, AiWhy, Decision, Decisions, Engine, Fault, Margins, Reason, Rung, Rungs, SiteMode, Unknown,
    What, Why,
};
pub use economics::{GpuTerms, SwitchTerms, ai_value, at_meter, hashprice, mining_value, round_trip, start_up};
pub use extract::extract;
pub use inputs::{Action, AiInput, GroupInput, Inputs, is_profitable};
pub use quantity::{Quantity, UNITS, Unit, UnknownUnit};
pub use reading::Reading;
pub use units::{
    BtcPerBlock, Currency, JoulesPerTerahash, LIMIT, Money, MoneyPerBtc, MoneyPerGpuHour, MoneyPerMwh, MoneyPerPhDay,
    NetworkDifficulty, Ratio, Watts,
};
