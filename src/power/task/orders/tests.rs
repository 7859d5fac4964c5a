use super::*;
use crate::{
    power::group::Phase,
    profit::{
        AiDecision, AiReason, Currency, Decisions, Fault, Margins, Ratio, Reason, Rungs, SiteMode, Unknown, What,
    },
};

fn decided(action: Action, why: Why) -> DecisionView {
    let reason = Reason { before: Action::Mine, action, why, currency: Currency::USD };
    let margins = Margins { cost: None, value: MoneyPerMwh::new(50.0), mining: None, ai: None, curtail: None };
    let decision = Decision { action, is_new: true, since: None, reason, margins };
    let decisions =
        Decisions { at: Timestamp::UNIX_EPOCH, mode: SiteMode::Mining, groups: vec![decision], ai: Vec::new() };
    DecisionView {
        mode: Mode::Active,
        groups: vec!["a".into()],
        ai: Vec::new(),
        decisions,
        switches: vec![0],
        rungs: Rungs::default(),
    }
}

fn bad() -> DecisionView {
    decided(Action::Curtail, Why::Verdict { is_profitable: false })
}

fn good() -> DecisionView {
    decided(Action::Mine, Why::Verdict { is_profitable: true })
}

fn grid() -> DecisionView {
    decided(Action::Curtail, Why::Grid { allowed: Ratio::ZERO })
}

/// What the one group is told.
fn told(orders: &mut Orders, decided: &DecisionView) -> Option<(Goal, bool)> {
    match orders.wanted(Some(decided))? {
        Input::Wanted { groups, .. } => groups[0].as_ref().map(|(order, _)| (order.goal, order.urgent)),
        other => panic!("{other:?}"),
    }
}

fn orders(mode: Mode) -> Orders {
    Orders::new(mode, vec![None], 0)
}

fn drain(until: Option<Timestamp>) -> Control {
    Control::Drain { why: "a fan".into(), until }
}

fn wake() -> Control {
    Control::Wake { why: "a test".into(), until: None }
}

#[test]
fn prices_move_a_group_in_mode_active_alone_and_are_told_once() {
    let mut active = orders(Mode::Active);
    assert_eq!(told(&mut active, &bad()), Some((Goal::Sleep, false)));
    assert_eq!(told(&mut active, &bad()), None);
    assert_eq!(told(&mut active, &grid()), Some((Goal::Sleep, true)), "the grid does not wait");
    assert_eq!(told(&mut active, &good()), Some((Goal::Mine, false)));
    for mode in [Mode::DryRun, Mode::Advise] {
        assert_eq!(told(&mut orders(mode), &bad()), None, "{mode:?}");
    }
    let mut orders = orders(Mode::Advise);
    orders.set_mode(Mode::Active);
    assert_eq!(told(&mut orders, &bad()), Some((Goal::Sleep, false)));
}

#[test]
fn an_operators_word_goes_over_prices_and_the_grids_over_an_operators() {
    for mode in [Mode::Advise, Mode::Active] {
        let mut orders = orders(mode);
        assert_eq!(orders.take(0, drain(None)), []);
        assert_eq!(told(&mut orders, &good()), Some((Goal::Sleep, false)), "{mode:?}");
        assert_eq!(orders.of_engine(0), (false, Some(Action::Curtail)));
        orders.take(0, wake());
        assert_eq!(told(&mut orders, &bad()), Some((Goal::Mine, false)), "{mode:?}");
        let over = (mode == Mode::Active).then_some((Goal::Sleep, true));
        assert_eq!(told(&mut orders, &grid()), over, "{mode:?}");
    }
    let mut orders = orders(Mode::Active);
    let hold = Control::Hold { why: "a look".into() };
    assert_eq!(orders.take(0, hold), [Input::Person(0, Person::Hold("a look".into()))]);
    assert_eq!(told(&mut orders, &bad()), None, "it is held");
    assert_eq!(orders.take(0, drain(None)), [Input::Person(0, Person::Release)], "a drain ends a hold");
    assert_eq!(orders.take(0, Control::Release), [Input::Person(0, Person::Release)]);
    assert_eq!(told(&mut orders, &good()), Some((Goal::Mine, false)), "prices decide again");
}

#[test]
fn a_lockout_is_ended_by_nothing_else() {
    let mut orders = orders(Mode::Active);
    let check = |orders: &Orders, phase, control: &Control| orders.check(0, "a", phase, control).is_ok();
    assert!(!check(&orders, Phase::Mining, &Control::Unlock));
    assert!(!check(&orders, Phase::Mining, &Control::Release));
    assert!(check(&orders, Phase::Fault, &Control::Release));
    orders.take(0, Control::Lockout { why: "hands".into() });
    assert_eq!(orders.of_engine(0), (true, None));
    for control in [wake(), drain(None), Control::Release, Control::Hold { why: "x".into() }] {
        assert!(!check(&orders, Phase::Lockout, &control), "{control:?}");
    }
    assert_eq!(told(&mut orders, &good()), None);
    assert_eq!(orders.persons(), [Input::Person(0, Person::Lock("hands".into()))], "it outlives a restart");
    assert!(check(&orders, Phase::Lockout, &Control::Unlock));
    assert_eq!(orders.take(0, Control::Unlock), [Input::Person(0, Person::Unlock)]);
    assert_eq!(orders.controls(), [None]);
    assert_eq!(orders.check(0, "a", Phase::Mining, &wake()), Ok(()));
    orders.set_mode(Mode::DryRun);
    assert_eq!(orders.check(0, "a", Phase::Mining, &wake()), Err(ControlError::DryRun));
}

#[test]
fn an_order_ends_by_its_time() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let mut orders = orders(Mode::Active);
    orders.take(0, drain(Some(at(100))));
    assert!(orders.expired(at(99)).is_empty());
    assert_eq!(orders.expired(at(100)), [0]);
    orders.take(0, drain(None));
    assert!(orders.expired(at(1_000_000)).is_empty());
}

#[test]
fn a_decision_that_rests_on_a_word_that_has_ended_moves_nothing() {
    let mut orders = orders(Mode::Active);
    for (control, end, why) in [
        (drain(None), Control::Release, Why::Order),
        (Control::Lockout { why: "fans".into() }, Control::Unlock, Why::Lockout),
    ] {
        orders.take(0, control);
        told(&mut orders, &decided(Action::Curtail, why));
        orders.take(0, end);
        assert_eq!(told(&mut orders, &decided(Action::Curtail, why)), None, "it was decided before {why:?} ended");
        assert_eq!(told(&mut orders, &good()), Some((Goal::Mine, false)));
    }
}

fn with_ai(mut view: DecisionView, kilowatts: f64, why: AiWhy) -> DecisionView {
    let watts = Watts::clamped(kilowatts * 1e3);
    let reason = AiReason { why, currency: Currency::USD };
    view.decisions.ai = vec![AiDecision { watts, keeps: watts, is_new: false, reason }];
    view
}

/// What the one block is to have, of all that is told.
fn block(orders: &mut Orders, decided: &DecisionView) -> Option<Option<f64>> {
    match orders.wanted(Some(decided))? {
        Input::Wanted { blocks, .. } => Some(blocks[0].map(|watts| watts.kilowatts())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_is_to_have_what_was_decided_however_often_groups_change() {
    let earns = || AiWhy::Earns { margin: MoneyPerMwh::ZERO };
    let mut orders = Orders::new(Mode::Active, vec![None], 1);
    assert_eq!(block(&mut orders, &with_ai(bad(), 40.0, earns())), Some(Some(40.0)));
    assert_eq!(block(&mut orders, &with_ai(bad(), 40.0, earns())), None);
    assert_eq!(block(&mut orders, &with_ai(good(), 40.0, earns())), Some(Some(40.0)), "a group's order is another");
    // What is not known moves nothing.
    let held = AiWhy::Held { unknown: Unknown { what: What::PowerPrice, fault: Fault::Stale } };
    assert_eq!(block(&mut orders, &with_ai(good(), 0.0, held)), None);
    assert_eq!(block(&mut orders, &with_ai(bad(), 0.0, held)), Some(Some(40.0)));
}

#[test]
fn no_block_is_given_more_once_the_mode_is_not_active() {
    let decided = with_ai(bad(), 40.0, AiWhy::Earns { margin: MoneyPerMwh::ZERO });
    let mut orders = Orders::new(Mode::Active, vec![None], 1);
    assert_eq!(block(&mut orders, &decided), Some(Some(40.0)));
    orders.set_mode(Mode::DryRun);
    assert_eq!(block(&mut orders, &decided), None);
    orders.set_mode(Mode::Advise);
    assert_eq!(block(&mut orders, &decided), Some(None), "it keeps what it has");
    assert_eq!(block(&mut orders, &decided), None);
    orders.set_mode(Mode::Active);
    assert_eq!(block(&mut orders, &decided), Some(Some(40.0)));
}

#[test]
fn the_grids_word_hurries_what_an_operator_drains() {
    for (mode, hurried) in [(Mode::Active, Some((Goal::Sleep, true))), (Mode::Advise, None)] {
        let mut orders = orders(mode);
        orders.take(0, drain(None));
        assert_eq!(told(&mut orders, &bad()), Some((Goal::Sleep, false)));
        assert_eq!(told(&mut orders, &grid()), hurried, "{mode:?}");
    }
}
