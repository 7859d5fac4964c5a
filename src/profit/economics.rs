//! What a megawatt-hour earns: in mining, in AI compute, and what it costs, all **at the site meter**.
//!
//! Formulas over units; knows no time, no signal and no decision.
//!
//! ```text
//! E[BTC/PH/day] = 86400 · 1e15 · (subsidy + fees) / (difficulty · 2^32)
//! hashprice     = E · BTC price
//! mining value  = hashprice · (1 − pool fee) / (0.024 · J/TH) / overhead         per MWh at the meter
//! AI value      = 1000 · GPU-hour price · utilisation · (1 − fee) / kW per GPU / PUE
//! margin        = value − (power price + delivery)
//! ```
//! A petahash at `e` J/TH draws `e` kW, which is 0.024·`e` MWh a day. One MWh at the meter is less at the machine: transformers, cooling
//! and fans of the hall come between (`overhead`, at least 1), for AI the PUE. Comparing at the machine would flatter whichever
//! sink wastes more.
//!
//! Limits: a mining value takes the network's expectation, so luck and the pool's payment scheme are not in it.
//! Checked against published figures: difficulty 136.04e12, 111 500 a bitcoin and 3.156 BTC a block are 52.0 a PH and day.

use super::units::{
    BtcPerBlock, JoulesPerTerahash, Money, MoneyPerBtc, MoneyPerGpuHour, MoneyPerMwh, MoneyPerPhDay, NetworkDifficulty,
    Ratio, Watts,
};

const SECONDS_PER_DAY: f64 = 86_400.0;
const HASHES_PER_PETAHASH: f64 = 1e15;
/// Hashes that a block of difficulty 1 takes on average.
const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;
/// MWh that a kilowatt takes in a day: 1 PH/s at `e` J/TH is `e` kW.
const MWH_PER_KW_DAY: f64 = 0.024;
const SECONDS_PER_HOUR: f64 = 3600.0;

/// What a PH/s is expected to earn in a day, before any pool's fee.
pub fn hashprice(reward: BtcPerBlock, difficulty: NetworkDifficulty, price: MoneyPerBtc) -> MoneyPerPhDay {
    let blocks = SECONDS_PER_DAY * HASHES_PER_PETAHASH / (difficulty.get() * HASHES_PER_DIFFICULTY);
    MoneyPerPhDay::clamped(blocks * reward.get() * price.get())
}

/// What a MWh earns in an ASIC of this efficiency, per MWh **of the machine**, after the pool's fee.
pub fn mining_value(hashprice: MoneyPerPhDay, efficiency: JoulesPerTerahash, pool_fee: Ratio) -> MoneyPerMwh {
    MoneyPerMwh::clamped(hashprice.get() * pool_fee.rest().get() / (MWH_PER_KW_DAY * efficiency.get()))
}

/// What AI compute is sold for, and what stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GpuTerms {
    /// Power of one GPU with its share of the node.
    pub power: Watts,
    /// The share of the hours that is sold. Whether there is demand at all is another matter.
    pub utilisation: Ratio,
    /// The marketplace's share.
    pub fee: Ratio,
}

/// What a MWh earns in GPUs, per MWh **of IT power**.
pub fn ai_value(price: MoneyPerGpuHour, terms: &GpuTerms) -> MoneyPerMwh {
    let gpus_per_mw = 1e6 / terms.power.get();
    MoneyPerMwh::clamped(price.get() * terms.utilisation.get() * terms.fee.rest().get() * gpus_per_mw)
}

/// A value per MWh of the machine as one per MWh at the site meter. `overhead` is what the meter counts for each MWh of
/// the machine: losses and cooling, or the PUE.
pub fn at_meter(value: MoneyPerMwh, overhead: Ratio) -> MoneyPerMwh {
    value / overhead
}

/// What a switch of a machine to sleep and back takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SwitchTerms {
    /// Seconds of full power without revenue while it goes to sleep.
    pub sleep_s: f64,
    /// Seconds of full power without revenue while it wakes.
    pub wake_s: f64,
    /// What a round trip wears off, per MW.
    pub wear_per_mw: Money,
}

/// What a round trip to sleep and back costs **for each MW at the meter**, against mining on: the revenue of the minutes
/// in which it draws and does not hash. Their power is paid either way.
pub fn round_trip(value: MoneyPerMwh, terms: &SwitchTerms) -> Money {
    let lost_hours = (terms.sleep_s + terms.wake_s) / SECONDS_PER_HOUR;
    Money::clamped(value.get() * lost_hours) + terms.wear_per_mw
}

/// What starting AI compute costs **for each MW at the meter**: warm-up energy that earns nothing, and wear.
pub fn start_up(cost: MoneyPerMwh, warm_up_s: f64, wear_per_mw: Money) -> Money {
    Money::clamped(cost.get().max(0.0) * warm_up_s / SECONDS_PER_HOUR) + wear_per_mw
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd_per_mwh(value: f64) -> MoneyPerMwh {
        MoneyPerMwh::new(value).unwrap()
    }

    fn ratio(value: f64) -> Ratio {
        Ratio::new(value).unwrap()
    }

    fn mining(hashprice: f64, efficiency: f64) -> f64 {
        let hashprice = MoneyPerPhDay::new(hashprice).unwrap();
        mining_value(hashprice, JoulesPerTerahash::new(efficiency).unwrap(), Ratio::ZERO).get()
    }

    #[test]
    fn hashprice_is_what_the_network_pays() {
        let price = hashprice(
            BtcPerBlock::new(3.156).unwrap(),
            NetworkDifficulty::new(136.04e12).unwrap(),
            MoneyPerBtc::new(111_500.0).unwrap(),
        );
        assert_eq!(format!("{price:.1}"), "52.0 money/PH/day");
    }

    #[test]
    fn a_megawatt_hour_of_mining_by_efficiency() {
        for (efficiency, value) in [(13.5, 154.0), (17.5, 119.0), (21.5, 97.0), (30.0, 69.0), (38.0, 55.0)] {
            assert_eq!(mining(50.0, efficiency).round(), value, "{efficiency} J/TH");
        }
    }

    #[test]
    fn the_pool_takes_its_fee_of_what_is_earned() {
        let hashprice = MoneyPerPhDay::new(50.0).unwrap();
        let efficiency = JoulesPerTerahash::new(21.5).unwrap();
        let net = mining_value(hashprice, efficiency, ratio(0.02)).get();
        assert!((net - 0.98 * mining(50.0, 21.5)).abs() < 1e-9);
    }

    #[test]
    fn a_megawatt_hour_of_gpus() {
        let node = GpuTerms { power: Watts::new(1_275.0).unwrap(), utilisation: ratio(0.7), fee: Ratio::ZERO };
        let value = ai_value(MoneyPerGpuHour::new(2.0).unwrap(), &node);
        assert_eq!(value.get().round(), 1_098.0);
        assert_eq!(at_meter(value, ratio(1.25)).get().round(), 878.0);
        let sold_with_fee = GpuTerms { fee: ratio(0.25), ..node };
        assert_eq!(ai_value(MoneyPerGpuHour::new(2.0).unwrap(), &sold_with_fee).get().round(), 824.0);
    }

    #[test]
    fn colocation_is_priced_by_the_kilowatt_month() {
        // A colocation contract of 154 $ per kW of IT and month (730 h): TeraWulf-like.
        let value = usd_per_mwh(154.0 / 730.0 * 1000.0);
        assert_eq!(value.get().round(), 211.0);
        assert_eq!(at_meter(value, ratio(1.25)).get().round(), 169.0);
    }

    #[test]
    fn a_round_trip_costs_the_revenue_of_its_minutes_and_the_wear() {
        let terms = SwitchTerms { sleep_s: 60.0, wake_s: 300.0, wear_per_mw: Money::new(2.0).unwrap() };
        assert!((round_trip(usd_per_mwh(97.0), &terms).get() - 11.7).abs() < 1e-9);
        assert_eq!(start_up(usd_per_mwh(60.0), 600.0, Money::ZERO).get(), 10.0);
        assert_eq!(start_up(usd_per_mwh(-60.0), 600.0, Money::ZERO), Money::ZERO);
    }

    proptest! {
        #[test]
        fn nothing_is_ever_infinite(reward in 0.0..1e18, difficulty in 1e-300..1e18, price in 1e-300..1e18, efficiency in 1e-300..1e18) {
            let hashprice = hashprice(
                BtcPerBlock::new(reward).unwrap(),
                NetworkDifficulty::new(difficulty).unwrap(),
                MoneyPerBtc::new(price).unwrap(),
            );
            let value = mining_value(hashprice, JoulesPerTerahash::new(efficiency).unwrap(), Ratio::ZERO);
            prop_assert!(value.get().is_finite() && value.get() >= 0.0);
        }

        #[test]
        fn a_less_efficient_machine_never_earns_more(hashprice in 0.0..500.0, better in 5.0..60.0, worse in 0.0..60.0) {
            prop_assert!(mining(hashprice, better) >= mining(hashprice, better + worse));
        }
    }
}
