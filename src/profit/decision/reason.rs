//! Why a group or an AI block does what it does: the case and its numbers, as values; the sentence is made when somebody reads it.
//!
//! Knows words and units; decides nothing. A reason is `Copy` and small: a replay makes millions and prints a few.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use crate::{
    config::AfterHold,
    profit::{Action, Currency, Money, MoneyPerMwh, Ratio, Reading, Watts},
};

/// Why a group does what it does. Its `Display` is the sentence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reason {
    /// What it did before this decision.
    pub before: Action,
    /// What it is to do.
    pub action: Action,
    /// The case, with its numbers.
    pub why: Why,
    /// What money is in.
    pub currency: Currency,
}

/// The case that decided over a group. Margins are over the whole cost of power (price and delivery), at the site meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Why {
    /// A person works on the machines.
    Lockout,
    /// It must not draw power.
    Unsafe,
    /// The grid allows this share of the cap, and what earns more took it.
    Grid {
        /// Of the cap.
        allowed: Ratio,
    },
    /// The grid's signal is gone, and that means to shed.
    GridGone,
    /// An operator's order.
    Order,
    /// The clock.
    Schedule,
    /// Mining earns enough.
    Pays {
        /// Of mining.
        margin: MoneyPerMwh,
        /// Where it drains.
        drains_under: MoneyPerMwh,
    },
    /// Mining loses.
    Loses {
        /// Of mining.
        margin: MoneyPerMwh,
        /// Where it drains.
        drains_under: MoneyPerMwh,
        /// Where it wakes again.
        wakes_over: MoneyPerMwh,
    },
    /// It sleeps, and mining does not earn enough to wake it.
    NotYet {
        /// Of mining.
        margin: MoneyPerMwh,
        /// Where it wakes.
        wakes_over: MoneyPerMwh,
    },
    /// It sleeps and mining earns enough, but that was not seen often enough.
    Unconfirmed {
        /// Good observations so far.
        seen: u32,
        /// That are wanted.
        wanted: u32,
    },
    /// It was put to sleep too lately.
    JustAsleep {
        /// Until it may wake.
        left: SignedDuration,
    },
    /// It woke too lately for a drain that saves so little.
    JustAwake {
        /// Until it may drain.
        left: SignedDuration,
        /// What mining on loses in one price interval, per MW; `None` where no price tells.
        loss: Option<Money>,
        /// What a switch costs, per MW.
        cost: Option<Money>,
    },
    /// It drained too often today for a drain that saves so little.
    TooManyDrains {
        /// Within 24 hours.
        drains: u32,
        /// What mining on loses in one price interval, per MW; `None` where no price tells.
        loss: Option<Money>,
        /// What a switch costs, per MW.
        cost: Option<Money>,
    },
    /// Its signal is high enough.
    Above {
        /// The signal's number.
        value: f64,
        /// Where it drains.
        drains_below: f64,
    },
    /// Its signal is too low.
    Below {
        /// The signal's number.
        value: f64,
        /// Where it wakes.
        wakes_above: f64,
    },
    /// Its signal's verdict.
    Verdict {
        /// Whether mining pays.
        is_profitable: bool,
    },
    /// Something is not known, so nothing changes.
    Held {
        /// What.
        unknown: Unknown,
        /// Until the hold ends.
        left: SignedDuration,
    },
    /// Something has not been known for too long.
    HoldOver {
        /// What.
        unknown: Unknown,
        /// How long it was waited for.
        waited: Duration,
        /// What that means.
        then: AfterHold,
    },
    /// AI compute pays more for its power.
    PowerToAi {
        /// Of AI compute.
        ai: MoneyPerMwh,
        /// Of mining.
        mining: MoneyPerMwh,
    },
    /// AI compute gives the power back, and has not yet.
    AwaitsReturn {
        /// Until it should.
        left: SignedDuration,
    },
    /// AI compute was promised its power for a time.
    Leased {
        /// Until it may be asked back.
        left: SignedDuration,
    },
    /// Better groups took what the site or a feeder may draw.
    NoRoom {
        /// Of the site.
        cap: Watts,
    },
}

/// What is not known, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unknown {
    /// Which number.
    pub what: What,
    /// What is wrong with it.
    pub fault: Fault,
}

/// A number that decisions rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The price of power.
    PowerPrice,
    /// What mining earns.
    Hashprice,
    /// What the grid pays for not drawing.
    CurtailPayment,
    /// The group's own signal.
    Signal,
    /// The group's joules for each terahash.
    Efficiency,
    /// What AI compute pays.
    AiPrice,
    /// The demand for AI compute.
    AiDemand,
}

/// What is wrong with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It never came.
    Never,
    /// It is too old.
    Stale,
    /// Its sources disagree.
    Split,
}

/// A fresh value and when it held, or what is wrong with it.
pub(super) fn seen<T: Copy>(what: What, reading: &Reading<T>) -> Result<(T, Timestamp), Unknown> {
    match reading {
        Reading::Fresh { value, observed_at } => Ok((*value, *observed_at)),
        Reading::Never => Err(Unknown { what, fault: Fault::Never }),
        Reading::Stale { .. } => Err(Unknown { what, fault: Fault::Stale }),
        Reading::Split { .. } => Err(Unknown { what, fault: Fault::Split }),
    }
}

impl Display for Unknown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::PowerPrice => "the power price",
            What::Hashprice => "the hashprice",
            What::CurtailPayment => "the payment for curtailing",
            What::Signal => "its signal",
            What::Efficiency => "its J/TH",
            What::AiPrice => "the AI price",
            What::AiDemand => "the AI demand",
        };
        match self.fault {
            Fault::Never => write!(f, "{what} was never seen"),
            Fault::Stale => write!(f, "{what} is stale"),
            Fault::Split => write!(f, "the sources of {what} disagree"),
        }
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.before, self.action) {
            (Action::Mine, Action::Mine) => "keep mining: ",
            (_, Action::Mine) => "wake: ",
            (Action::Mine, Action::Curtail) => "drain: ",
            (Action::Mine, Action::Ai) => "drain for AI: ",
            (_, Action::Curtail) => "stay asleep: ",
            (_, Action::Ai) => "stay asleep for AI: ",
        })?;
        self.case(f)
    }
}

impl Reason {
    fn case(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rate = |rate: MoneyPerMwh| rate.in_currency(self.currency);
        match self.why {
            Why::Lockout => f.write_str("somebody works on it (lockout)"),
            Why::Unsafe => f.write_str("it is not safe to run"),
            Why::Grid { allowed } => write!(f, "the grid allows {:.0} % of the cap", allowed.get() * 100.0),
            Why::GridGone => f.write_str("the grid's signal is gone, which means to shed"),
            Why::Order => f.write_str("ordered by an operator"),
            Why::Schedule => f.write_str("the schedule says so"),
            Why::Pays { margin, drains_under } => {
                let limit = Bare(drains_under);
                write!(f, "margin {}; drains at the first price that gives under {limit}", rate(margin))
            }
            Why::Loses { margin, drains_under, wakes_over } => {
                write!(f, "margin {} is under {}; ", rate(margin), Bare(drains_under))?;
                write!(f, "wakes at a price that gives over {}", Bare(wakes_over))
            }
            Why::NotYet { margin, wakes_over } => {
                write!(f, "margin {}; wakes at a price that gives over {}", rate(margin), Bare(wakes_over))
            }
            Why::Unconfirmed { seen, wanted } => write!(f, "mining pays again, seen {seen} of {wanted} times"),
            Why::JustAsleep { left } => write!(f, "it may wake in {}", Left(left)),
            Why::JustAwake { left, loss, cost } => {
                write!(f, "it woke lately and may drain in {}", Left(left))?;
                self.small_loss(f, loss, cost)
            }
            Why::TooManyDrains { drains, loss, cost } => {
                write!(f, "it drained {drains} times in 24 h")?;
                self.small_loss(f, loss, cost)
            }
            Why::Above { value, drains_below } => write!(f, "signal {value:.2}; drains under {drains_below:.2}"),
            Why::Below { value, wakes_above } => write!(f, "signal {value:.2}; wakes over {wakes_above:.2}"),
            Why::Verdict { is_profitable } => {
                write!(f, "the verdict is {}", if is_profitable { "profitable" } else { "unprofitable" })
            }
            Why::Held { unknown, left } => write!(f, "{unknown}; nothing changes for {}", Left(left)),
            Why::HoldOver { unknown, waited, then } => {
                let then = match then {
                    AfterHold::Mine => "so it mines",
                    AfterHold::Stay => "and it stays as it is",
                };
                write!(f, "{unknown}, for {} or longer, {then}", humantime::format_duration(waited))
            }
            Why::PowerToAi { ai, mining } => {
                write!(f, "AI compute gives a margin of {}, mining {}", rate(ai), Bare(mining))
            }
            Why::AwaitsReturn { left } => write!(f, "AI compute has its power, back in {}", Left(left)),
            Why::Leased { left } => write!(f, "AI compute has its power for another {}", Left(left)),
            Why::NoRoom { cap } => write!(f, "no room under the cap of {} or its feeder's", cap.in_words()),
        }
    }

    fn small_loss(&self, f: &mut Formatter<'_>, loss: Option<Money>, cost: Option<Money>) -> fmt::Result {
        let (Some(loss), Some(cost)) = (loss, cost) else { return Ok(()) };
        let amount = |amount: Money| amount.in_currency(self.currency);
        write!(f, "; mining on loses {} a MW until the next price, a switch costs {}", amount(loss), amount(cost))
    }
}

/// What an AI block gets, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AiReason {
    /// The case, with its numbers.
    pub why: AiWhy,
    /// What money is in.
    pub currency: Currency,
}

/// The case that decided over an AI block. Margins are at the site meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AiWhy {
    /// Nobody wants it.
    NoDemand,
    /// It earns more than what its power would do else.
    Earns {
        /// Of AI compute.
        margin: MoneyPerMwh,
    },
    /// It earns too little: less than curtailing, or than mining, its start and the switch of the miners counted.
    EarnsLess {
        /// Of AI compute.
        margin: MoneyPerMwh,
    },
    /// It was promised its power.
    Leased {
        /// Until it may be asked back.
        left: SignedDuration,
    },
    /// It was asked for power.
    Returning {
        /// Until it should be back.
        left: SignedDuration,
    },
    /// Something is not known, so nothing changes.
    Held {
        /// What.
        unknown: Unknown,
    },
    /// Something has not been known for too long, so its power is the miners' again.
    HoldOver {
        /// What.
        unknown: Unknown,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The grid allows this share of the cap, and it has less for it.
    Grid {
        /// Of the cap.
        allowed: Ratio,
    },
}

impl Display for AiReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rate = |rate: MoneyPerMwh| rate.in_currency(self.currency);
        match self.why {
            AiWhy::NoDemand => f.write_str("no demand"),
            AiWhy::Earns { margin } => write!(f, "margin {}", rate(margin)),
            AiWhy::EarnsLess { margin } => {
                write!(f, "margin {}, which is too little to move power for", rate(margin))
            }
            AiWhy::Leased { left } => write!(f, "its term runs for another {}", Left(left)),
            AiWhy::Returning { left } => write!(f, "gives power back in {}", Left(left)),
            AiWhy::Held { unknown } => write!(f, "{unknown}; nothing changes"),
            AiWhy::HoldOver { unknown, waited } => {
                write!(f, "{unknown}, for {} or longer, so miners get its power", humantime::format_duration(waited))
            }
            AiWhy::Grid { allowed } => write!(f, "the grid allows {:.0} % of the cap", allowed.get() * 100.0),
        }
    }
}

/// A rate without its unit, behind one that has it.
struct Bare(MoneyPerMwh);

impl Display for Bare {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let rounds_to_zero = self.0.get().abs() < 0.05;
        write!(f, "{:.1}", if rounds_to_zero { 0.0 } else { self.0.get() })
    }
}

/// A time that is left, in whole seconds; nothing once it is over.
struct Left(SignedDuration);

impl Display for Left {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = u64::try_from(self.0.as_secs()).unwrap_or(0);
        humantime::format_duration(Duration::from_secs(seconds)).fmt(f)
    }
}
