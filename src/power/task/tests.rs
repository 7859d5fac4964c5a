use super::*;
use crate::power::{device::Goal, group::Command};

#[test]
fn a_person_is_asked_once_for_all_machines_and_not_again_for_a_while() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut manual = Manual::default();
    let key = |device| DeviceKey { group: 0, device };
    manual.wants(at(0), key(1), Command::Sleep);
    manual.wants(at(1), key(2), Command::Sleep);
    assert_eq!(manual.ask(at(1)), None, "more may come");
    assert_eq!(manual.ask(at(2)), Some((Goal::Sleep, vec![key(1), key(2)])));
    // The same again, as nobody did it.
    manual.wants(at(60), key(1), Command::Sleep);
    assert_eq!(manual.ask(at(599)), None);
    manual.wants(at(599), key(3), Command::Sleep);
    assert_eq!(manual.ask(at(601)), Some((Goal::Sleep, vec![key(1), key(3)])), "nobody was asked for the third");
    manual.wants(at(602), key(1), Command::Sleep);
    assert_eq!(manual.ask(at(1_200)), None);
    assert_eq!(manual.ask(at(1_201)), Some((Goal::Sleep, vec![key(1)])));
    // The other way is news.
    manual.wants(at(1_300), key(1), Command::Wake(None));
    assert_eq!(manual.ask(at(1_302)), Some((Goal::Mine, vec![key(1)])));
    assert_eq!(manual.ask(at(9_000)), None);
}
