//! Thresholds and policy change for the next decision; what machines and leases rest on waits for a restart, and nobody notices either.

use hashgate::profit::signal::{Observation, When};
use hashgate::profit::{Action, task::Snapshot};

use crate::site::{Site, words};

/// A group that is judged by a number that the test sends.
fn group(drain_below: u32, more: &str) -> String {
    format!(
        "[[signal]]\nname = \"hashprice\"\nkind = \"push\"\nunit = \"USD/PH/day\"\n\
         [profit]\nsignal = \"hashprice\"\ndrain_below = {drain_below}\nwake_above = 50\n[[group]]\nname = \"hall\"\n{more}"
    )
}

fn does(snapshot: &Snapshot) -> Action {
    snapshot.decision.as_ref().expect("there is a group").decisions.groups[0].action
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_threshold_decides_at_once_and_another_group_waits() {
    let mut site = Site::with(|file| file.more(&group(45, ""))).await;
    let signals = site.proxy.signals().expect("there is one").clone();
    let observation = Observation { value: 47.0, when: When::Now };
    signals.feed("hashprice").expect("it is pushed").observe(vec![observation]).await.expect("it is taken");
    assert_eq!(does(&signals.snapshot()), Action::Mine);

    let outcome = site.reload(|file| file.more(&group(48, ""))).await;
    assert!(words(&outcome)[0].ends_with("; from the next decision on"), "{outcome:?}");
    assert_eq!(does(&signals.snapshot()), Action::Curtail, "47 is under 48");

    // The new group needs a restart, and its threshold waits with it.
    let two = group(40, "[[group]]\nname = \"other\"\n");
    let outcome = site.reload(|file| file.more(&two)).await;
    assert_eq!(outcome.followed().count(), 0, "{outcome:?}");
    assert!(words(&outcome).contains(&"group \"other\" added; needs a restart".to_owned()), "{outcome:?}");
    assert_eq!(does(&signals.snapshot()), Action::Curtail);
    let status = site.proxy.reload().status();
    assert_eq!(status.places.config.profit.as_ref().expect("it is there").groups.len(), 1);
    site.ends_well().await;
}
