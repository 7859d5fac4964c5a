//! A day of decisions, as a table to read.

use std::fmt::Write as _;

use super::*;

/// What happens at an hour of the day.
enum Event {
    Price(f64),
    PriceGone,
    Ai(f64, f64),
    Grid(f64),
}

#[test]
fn a_day_of_decisions() {
    use Event::{Ai, Grid, Price, PriceGone};
    let mut config = profit(vec![group("new", 17.5), group("old", 30.0)], vec![gpus()]);
    config.site.grid = Some(Arc::from("grid"));
    config.ai[0].min_term = Duration::from_secs(3600);
    config.ai[0].notice = Duration::from_secs(900);
    let mut world = World::new(config);
    let day: &[(i8, i8, Event)] = &[
        (0, 0, Price(25.0)),
        (6, 30, Price(72.0)),
        (7, 0, Price(85.0)),
        (7, 15, Price(140.0)),
        (7, 30, Price(70.0)),
        (7, 45, Price(55.0)),
        (9, 0, Ai(300.0, 1.0)),
        (10, 15, Ai(300.0, 0.0)),
        (11, 0, Price(-12.0)),
        (12, 0, PriceGone),
        (13, 0, Price(40.0)),
        (15, 0, Grid(0.0)),
        (16, 0, Grid(1.0)),
        (18, 0, Price(1200.0)),
        (18, 15, Ai(2000.0, 0.6)),
        (18, 30, Price(30.0)),
        (19, 0, Ai(20.0, 0.6)),
        (19, 30, Price(30.0)),
        (19, 45, Price(30.0)),
    ];
    let mut table = String::new();
    let demandless = world.fresh(Ratio::ZERO);
    (world.inputs.ai[0].value, world.inputs.ai[0].demand) = (world.fresh(MoneyPerMwh::ZERO), demandless);
    for (hour, minute, event) in day {
        world.now = start() + SignedDuration::from_mins(i64::from(*hour) * 60 + i64::from(*minute));
        let what = match event {
            Price(price) => {
                world.price(*price);
                format!("price {price}")
            }
            PriceGone => {
                let observed_at = world.now;
                world.inputs.power_price = Reading::Stale { value: MoneyPerMwh::ZERO, observed_at };
                "price gone".to_owned()
            }
            Ai(value, demand) => {
                world.ai(*value, *demand);
                format!("AI {value}, {:.0} %", demand * 100.0)
            }
            Grid(share) => {
                world.inputs.grid = world.fresh(Ratio::new(*share).unwrap());
                format!("grid {:.0} %", share * 100.0)
            }
        };
        let decisions = world.ask();
        writeln!(table, "{hour:02}:{minute:02} {what:<14} {}", decisions.mode).unwrap();
        for (group, decision) in world.profit.groups.iter().zip(&decisions.groups) {
            writeln!(table, "      {:<5} {}", group.name, decision.reason).unwrap();
        }
        let ai = &decisions.ai[0];
        writeln!(table, "      gpus  {}: {}", ai.watts.in_words(), ai.reason).unwrap();
    }
    insta::assert_snapshot!(table);
}
