//! The field that all play on: a config's groups, a window of history, and what each hour in it was worth and was known to be.
//!
//! Knows what held and what was *known* when an interval began; knows no policy.
//!
//! | value | is settled at | is known |
//! |---|---|---|
//! | power price | the interval's own | one interval late: it is published after the interval |
//! | bitcoin's price, difficulty, reward | the day's own row | the row of the day before: rows are of the end of the day |
//! | AI price, demand | the row that holds | one interval late |
//!
//! All money is at the site meter, as in `economics.rs`. What the config takes from signals other than these has no history: it is
//! listed in [`Field::unplayed`] and left out, or refused where nothing could be decided without it.

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

use super::{
    account::{Account, Rates},
    machine::Physics,
    reference::{AiOffer, ai_shares},
    series::{BtcDay, BtcDays, PowerPrices, Steps, utc_day},
};
use crate::{
    config::{Ai, AiPrice, Efficiency, Group, Profit, Quote, Rule},
    profit::{
        JoulesPerTerahash, MoneyPerGpuHour, MoneyPerMwh, MoneyPerPhDay, Ratio, Watts, ai_value, at_meter, hashprice,
        mining_value,
    },
};

/// What was.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// What energy cost.
    pub power: PowerPrices,
    /// What mining depended on.
    pub btc: BtcDays,
    /// What an hour of a GPU was sold for, where the config leaves that to a signal.
    pub ai: Option<Steps>,
    /// The share of AI capacity that was wanted, where the config leaves that to a signal.
    pub demand: Option<Steps>,
}

/// Which days are played, and which of them a second table leaves out. UTC days, both ends included.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// The first day; `None` for the first that all history is there for.
    pub from: Option<Date>,
    /// The last day; `None` for the last that all history is there for.
    pub to: Option<Date>,
    /// Days that are played and counted apart.
    pub exclude: Vec<(Date, Date)>,
}

impl Window {
    /// Whether a day is counted apart.
    pub fn excludes(&self, day: Date) -> bool {
        self.exclude.iter().any(|(from, to)| (*from..=*to).contains(&day))
    }
}

/// Why nothing can be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// A group that no history decides about.
    #[error("group \"{group}\" {what}; {help}")]
    Group {
        /// Its name.
        group: String,
        /// What is in the way.
        what: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// The site lacks something.
    #[error("{what}; {help}")]
    Config {
        /// What is in the way.
        what: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// History does not reach.
    #[error("{what}; {help}")]
    Window {
        /// What is in the way.
        what: String,
        /// What to do.
        help: String,
    },
}

/// A group of the config, as it is played.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupField {
    /// Its name in the config.
    pub name: String,
    /// Joules for each terahash.
    pub efficiency: JoulesPerTerahash,
    /// MW at the meter that sleep and wake.
    pub megawatts: f64,
    /// MW at the meter that always mine, by contract.
    pub floor_megawatts: f64,
    /// How it sleeps and wakes.
    pub physics: Physics,
    /// What a MWh earns, day by day: what it was.
    pub value: Vec<f64>,
    /// What a MWh earns, day by day: as known on that day.
    known_value: Vec<f64>,
}

/// The hashprice of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
struct DayPrice {
    actual: MoneyPerPhDay,
    known: MoneyPerPhDay,
}

/// What AI took of each group's power in each interval, and what it then paid: `[interval][group]`.
type Shares = Vec<Vec<(f64, f64)>>;

/// A config's groups in a window of history.
pub struct Field<'a> {
    /// The config.
    pub profit: &'a Profit,
    history: &'a History,
    /// The first interval played, an index into the history of power.
    first: usize,
    /// The days played.
    pub days: Vec<Date>,
    /// The day of each interval played, an index into `days`.
    pub day_of: Vec<usize>,
    /// The groups, in the order of the config.
    pub groups: Vec<GroupField>,
    /// What of the config is not played, in words.
    pub unplayed: Vec<String>,
    day_prices: Vec<DayPrice>,
    delivery: f64,
    curtailed: f64,
}

impl<'a> Field<'a> {
    /// Lays a config's groups over a window of history.
    ///
    /// # Errors
    /// [`FieldError`] for a group that these histories cannot decide about, and for a window that they do not reach over.
    pub fn new(profit: &'a Profit, history: &'a History, window: &Window) -> Result<Self, FieldError> {
        if profit.site.power_price.is_none() {
            return Err(FieldError::Config {
                what: "site.power_price is not set, so the engine weighs no price",
                help: "name the signal that brings it; in the replay the history stands for it",
            });
        }
        let (from, to) = reach(history, window)?;
        let power = &history.power;
        let first = power.at_or_after(midnight(from));
        let last = power.at_or_after(midnight(to.saturating_add(1.day())));
        let days: Vec<Date> = from.series(1.day()).take_while(|day| *day <= to).collect();
        let day_of: Vec<usize> = (first..last)
            .map(|interval| {
                let hours = power.begin(interval).as_second() - midnight(from).as_second();
                usize::try_from(hours / 86_400).unwrap_or(0).min(days.len() - 1)
            })
            .collect();
        let price = |day: BtcDay| hashprice(day.reward, day.difficulty, day.price);
        let day_prices: Vec<DayPrice> = days
            .iter()
            .filter_map(|day| {
                let known = history.btc.day(day.yesterday().ok()?)?;
                Some(DayPrice { actual: price(history.btc.day(*day)?), known: price(known) })
            })
            .collect();
        let groups =
            profit.groups.iter().map(|group| GroupField::new(group, profit, &day_prices)).collect::<Result<_, _>>()?;
        let curtailed = match &profit.site.curtail_pays {
            Quote::Fixed(price) => price.get(),
            Quote::Signal(_) => 0.0,
        };
        let delivery = profit.site.delivery.get();
        let unplayed = unplayed(profit, history);
        Ok(Self { profit, history, first, days, day_of, groups, unplayed, day_prices, delivery, curtailed })
    }

    /// How many intervals are played.
    pub fn len(&self) -> usize {
        self.day_of.len()
    }

    /// Never: a window has an interval.
    pub fn is_empty(&self) -> bool {
        self.day_of.is_empty()
    }

    /// Seconds of an interval.
    pub fn step_s(&self) -> f64 {
        self.history.power.step_seconds() as f64
    }

    /// When an interval begins.
    pub fn begin(&self, interval: usize) -> Timestamp {
        self.history.power.begin(self.first + interval)
    }

    /// What a MWh cost at the market in an interval, without delivery; `None` in a gap.
    pub fn price(&self, interval: usize) -> Option<MoneyPerMwh> {
        self.history.power.price(self.first + interval)
    }

    /// What a MWh cost at the meter in an interval, delivery included; `None` in a gap.
    pub fn price_at_meter(&self, interval: usize) -> Option<f64> {
        self.price(interval).map(|price| price.get() + self.delivery)
    }

    /// What a MWh cost at the market in the interval before this one: the newest price that is known when this one begins.
    pub fn known_price(&self, interval: usize) -> Option<MoneyPerMwh> {
        (self.first + interval).checked_sub(1).and_then(|before| self.history.power.price(before))
    }

    /// The hashprice as known when an interval begins: yesterday's.
    pub fn known_hashprice(&self, interval: usize) -> MoneyPerPhDay {
        self.day_prices[self.day_of[interval]].known
    }

    /// What an hour of a GPU was last sold for when an interval began, if there is a history of that.
    pub fn known_ai(&self, interval: usize) -> Option<MoneyPerGpuHour> {
        self.step_at(self.history.ai.as_ref(), interval, true).and_then(MoneyPerGpuHour::new)
    }

    /// The demand known when an interval begins, if there is a history of that.
    pub fn known_demand(&self, interval: usize) -> Option<Ratio> {
        self.step_at(self.history.demand.as_ref(), interval, true).and_then(Ratio::new)
    }

    /// What a MWh of a group earned by mining on the day of an interval, at the meter.
    pub fn value(&self, group: usize, interval: usize) -> f64 {
        self.groups[group].value[self.day_of[interval]]
    }

    /// What held for a group in an interval, without AI; `None` in a gap.
    pub fn rates(&self, group: usize, interval: usize) -> Option<Rates> {
        Some(self.groups[group].rates(self.price_at_meter(interval)?, self.value(group, interval), self.curtailed))
    }

    /// What was known of a group when an interval began, without AI; `None` where nothing was.
    fn known_rates(&self, group: usize, interval: usize) -> Option<Rates> {
        let value = self.groups[group].known_value[self.day_of[interval]];
        Some(self.groups[group].rates(self.known_price(interval)?.get() + self.delivery, value, self.curtailed))
    }

    /// What a MWh of an AI block earned in an interval, at the meter: what was, or what was known when it began. `None` where nobody knows.
    pub fn ai_value(&self, block: usize, interval: usize, known: bool) -> Option<f64> {
        let block = &self.profit.ai[block];
        let it_value = match &block.price {
            AiPrice::PerMwh(value) => fixed(value)?,
            AiPrice::PerGpuHour { price, terms } => {
                let history = self.step_at(self.history.ai.as_ref(), interval, known).and_then(MoneyPerGpuHour::new);
                ai_value(history.or_else(|| fixed(price))?, terms)
            }
        };
        Some(at_meter(it_value, block.pue).get())
    }

    /// MW that the site may draw beyond what its groups do: AI takes these first, and no group sleeps for them.
    pub fn spare_megawatts(&self) -> f64 {
        let all: f64 = self.groups.iter().map(|group| group.megawatts + group.floor_megawatts).sum();
        let site = &self.profit.site;
        site.cap.map_or(0.0, |cap| (cap.megawatts() - site.base_load.megawatts() - all).max(0.0))
    }

    /// What the AI blocks would take of the groups in an interval, best first: what was, or what was known when it began.
    pub fn ai_offers(&self, interval: usize, known: bool) -> Vec<AiOffer> {
        let price = if known { self.known_price(interval) } else { self.price(interval) };
        let Some(price) = price else {
            return Vec::new();
        };
        let offer = |index: usize, block: &Ai| {
            let demand = self.step_at(self.history.demand.as_ref(), interval, known).and_then(Ratio::new);
            let demand = demand.or_else(|| fixed(&block.demand))?;
            let value = self.ai_value(index, interval, known)?;
            Some(AiOffer {
                margin: value - price.get() - self.delivery,
                value,
                megawatts: block.power.megawatts() * block.pue.get() * demand.get().min(1.0),
            })
        };
        let blocks = self.profit.ai.iter().enumerate();
        let mut offers: Vec<AiOffer> = blocks.filter_map(|(index, block)| offer(index, block)).collect();
        offers.sort_by(|a, b| b.margin.total_cmp(&a.margin));
        let mut spare = self.spare_megawatts();
        for offer in &mut offers {
            let taken = spare.min(offer.megawatts);
            offer.megawatts -= taken;
            spare -= taken;
        }
        offers
    }

    /// The shares of AI that the merit order gives each group, with what was or with what was known. Empty without AI.
    pub fn shares(&self, known: bool) -> Shares {
        if self.profit.ai.is_empty() {
            return Vec::new();
        }
        let mut margins = Vec::with_capacity(self.groups.len());
        (0..self.len())
            .map(|interval| {
                margins.clear();
                margins.extend(self.groups.iter().enumerate().map(|(index, group)| {
                    let rates = if known { self.known_rates(index, interval) } else { self.rates(index, interval) };
                    (group.given_asleep(), rates.map_or(0.0, |rates| rates.mining_margin() / group.megawatts))
                }));
                let mut shares = Vec::new();
                ai_shares(&margins, &mut self.ai_offers(interval, known), &mut shares);
                for ((share, rate), group) in shares.iter_mut().zip(&self.groups) {
                    // Of what the group gives asleep, as one of its whole power.
                    let given = group.given_asleep() / group.megawatts;
                    (*share, *rate) = (*share * given, *rate / given.max(f64::MIN_POSITIVE));
                }
                shares
            })
            .collect()
    }

    /// The course of one group, with its shares of AI: what was, and what was known.
    pub fn course(&self, group: usize, known: bool, shares: &Shares, into: &mut Vec<Option<Rates>>) {
        into.clear();
        into.extend((0..self.len()).map(|interval| {
            let rates = if known { self.known_rates(group, interval) } else { self.rates(group, interval) };
            let (ai_share, ai) = shares.get(interval).map_or((0.0, 0.0), |shares| shares[group]);
            rates.map(|rates| Rates { ai, ai_share, ..rates })
        }));
    }

    /// Books what always mines, the same for everybody.
    pub fn book_floor(&self, group: usize, accounts: &mut [Account]) {
        let field = &self.groups[group];
        if field.floor_megawatts == 0.0 {
            return;
        }
        let scale = field.floor_megawatts / field.megawatts;
        for (interval, day) in self.day_of.iter().enumerate() {
            if let Some(rates) = self.rates(group, interval) {
                let hours = self.step_s() / 3600.0 * scale;
                accounts[*day].revenue += rates.mining * hours;
                accounts[*day].cost += rates.power * hours;
            }
        }
    }

    fn step_at(&self, steps: Option<&Steps>, interval: usize, known: bool) -> Option<f64> {
        let at = if known {
            self.history.power.begin((self.first + interval).checked_sub(1)?)
        } else {
            self.begin(interval)
        };
        steps?.at(at).map(|(_, value)| value)
    }
}

impl GroupField {
    fn new(group: &Group, profit: &Profit, days: &[DayPrice]) -> Result<Self, FieldError> {
        let refused = |what, help| FieldError::Group { group: group.name.to_string(), what, help };
        let (efficiency, pool_fee) = match &group.rule {
            Rule::Economics { efficiency: Efficiency::Fixed(efficiency), pool_fee } => (*efficiency, *pool_fee),
            Rule::Economics { efficiency: Efficiency::Measured, .. } => {
                return Err(refused(
                    "has a measured efficiency, of which there is no history",
                    "write its J/TH for the replay",
                ));
            }
            Rule::Threshold { .. } | Rule::Verdict { .. } => {
                return Err(refused(
                    "is decided by a signal, of which there is no history",
                    "for the replay write its J/TH instead of the signal",
                ));
            }
        };
        // At a site without cap and AI a group need not say its power; everything is in proportion to it.
        let power = group.power.map_or(1.0, Watts::megawatts);
        let overhead = profit.site.overhead;
        let megawatts = (power - group.floor.megawatts()) * overhead.get();
        if megawatts <= 0.0 {
            return Err(refused("has a floor as high as its power", "there is nothing to decide; lower `floor`"));
        }
        let value = |price| at_meter(mining_value(price, efficiency, pool_fee), overhead).get();
        Ok(Self {
            name: group.name.to_string(),
            efficiency,
            megawatts,
            floor_megawatts: group.floor.megawatts() * overhead.get(),
            physics: Physics {
                sleep_s: group.switch.sleep_s,
                wake_s: group.switch.wake_s,
                sleep_draw: group.sleep_draw,
                wear: group.switch.wear_per_mw.get() * megawatts,
            },
            value: days.iter().map(|day| value(day.actual)).collect(),
            known_value: days.iter().map(|day| value(day.known)).collect(),
        })
    }

    /// MW that are free for others while it sleeps.
    pub fn given_asleep(&self) -> f64 {
        self.megawatts * self.physics.sleep_draw.rest().get()
    }

    fn rates(&self, price: f64, value: f64, curtailed: f64) -> Rates {
        Rates {
            mining: value * self.megawatts,
            power: price * self.megawatts,
            curtailed: curtailed * self.megawatts,
            ai: 0.0,
            ai_share: 0.0,
        }
    }
}

/// The days that all history is there for, within what was asked for.
fn reach(history: &History, window: &Window) -> Result<(Date, Date), FieldError> {
    let (power, btc) = (&history.power, &history.btc);
    let btc_from = btc.first().tomorrow().unwrap_or(Date::MAX);
    let power_from = utc_day(power.begin(0));
    let power_to = utc_day(power.begin(power.len() - 1));
    let (earliest, latest) = (btc_from.max(power_from), btc.last().min(power_to));
    let refused = |what: String, help: String| Err(FieldError::Window { what, help });
    if earliest > latest {
        return refused(
            format!(
                "power is known from {power_from} to {power_to}, bitcoin from {} to {}: no day has both",
                btc.first(),
                btc.last()
            ),
            "bitcoin's history must begin a day earlier than what is played".to_owned(),
        );
    }
    if let (Some(from), Some(to)) = (window.from, window.to)
        && from > to
    {
        return refused(format!("--from {from} is after --to {to}"), "swap them".to_owned());
    }
    for (flag, asked) in [("--from", window.from), ("--to", window.to)] {
        if let Some(day) = asked.filter(|day| !(earliest..=latest).contains(day)) {
            return refused(
                format!("history reaches from {earliest} to {latest}; {flag} {day} is outside of it"),
                "ask for less; bitcoin's rows must begin a day earlier than what is played".to_owned(),
            );
        }
    }
    Ok((window.from.unwrap_or(earliest), window.to.unwrap_or(latest)))
}

/// What the config says that is not played.
fn unplayed(profit: &Profit, history: &History) -> Vec<String> {
    let mut list = Vec::new();
    let mut leave_out =
        |what: String, signal: &str| list.push(format!("{what}: there is no history of signal \"{signal}\""));
    if let Quote::Signal(name) = &profit.site.curtail_pays {
        leave_out("site.curtail_pays counts as nothing".to_owned(), name);
    }
    if let Some(name) = &profit.site.grid {
        leave_out("the grid asks for nothing".to_owned(), name);
    }
    if let Some(name) = &profit.site.schedule {
        leave_out("the schedule lets everything run".to_owned(), name);
    }
    for block in &profit.ai {
        let price = match &block.price {
            AiPrice::PerMwh(Quote::Signal(name)) => Some(name),
            AiPrice::PerGpuHour { price: Quote::Signal(name), .. } if history.ai.is_none() => Some(name),
            _ => None,
        };
        if let Some(name) = price {
            leave_out(format!("ai \"{}\" takes no power", block.name), name);
        }
        if let (Quote::Signal(name), None) = (&block.demand, &history.demand) {
            leave_out(format!("ai \"{}\" takes no power", block.name), name);
        }
    }
    list
}

fn fixed<T: Copy>(quote: &Quote<T>) -> Option<T> {
    match quote {
        Quote::Fixed(value) => Some(*value),
        Quote::Signal(_) => None,
    }
}

fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

#[cfg(test)]
pub(super) mod tests;
