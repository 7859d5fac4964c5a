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
//! | `reading.rs` | what a signal says at a moment: fresh, stale, split or never seen |

pub mod backtest;
mod reading;
mod units;

pub use reading::Reading;
pub use units::{
    BtcPerBlock, Currency, JoulesPerTerahash, LIMIT, Money, MoneyPerBtc, MoneyPerGpuHour, MoneyPerMwh, MoneyPerPhDay,
    NetworkDifficulty, Ratio, Watts,
};
