//! Thresholds and policy change for the next decision, groups come and go in it, and signals keep what they have said; nobody notices.

use hashgate::profit::signal::{Observation, Refusal, When};
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
async fn another_threshold_decides_at_once_and_so_does_another_group() {
    let mut site = Site::with(|file| file.more(&group(45, ""))).await;
    let signals = site.proxy.signals().expect("there is one").clone();
    let feed = signals.feed("hashprice").expect("it is pushed");
    let pushed = |value| vec![Observation { value, when: When::Now }];
    feed.observe(pushed(47.0)).await.expect("it is taken");
    assert_eq!(does(&signals.snapshot()), Action::Mine);

    let outcome = site.reload(|file| file.more(&group(48, ""))).await;
    assert!(words(&outcome)[0].ends_with("; from the next decision on"), "{outcome:?}");
    assert_eq!(does(&signals.snapshot()), Action::Curtail, "47 is under 48");
    let since = signals.snapshot().decision.as_ref().expect("it is decided").decisions.groups[0].since;

    // Another group before it, by another threshold for both: who sleeps sleeps on, 15 minutes at least.
    let two = group(40, "").replace("[[group]]", "[[group]]\nname = \"other\"\n[[group]]");
    let outcome = site.reload(|file| file.more(&two)).await;
    assert!(words(&outcome).contains(&"group \"other\" added; from the next decision on".to_owned()), "{outcome:?}");
    let snapshot = signals.snapshot();
    let view = snapshot.decision.as_ref().expect("it is decided");
    let names: Vec<&str> = view.groups.iter().map(|name| &**name).collect();
    assert_eq!(names, ["other", "hall"]);
    assert_eq!(view.group("other").expect("it is new").action, Action::Mine);
    let hall = view.group("hall").expect("it is known");
    assert_eq!((hall.action, hall.since, &view.switches[..]), (Action::Curtail, since, &[0, 1][..]));
    assert_eq!(site.proxy.reload().status().places.config.profit.as_ref().expect("it is there").groups.len(), 2);

    // It goes, and what had the way to the signal has it still.
    let outcome = site.reload(|file| file.more(&group(40, ""))).await;
    assert!(words(&outcome).contains(&"group \"other\" removed; from the next decision on".to_owned()), "{outcome:?}");
    feed.observe(pushed(39.0)).await.expect("it is taken");
    assert_eq!(signals.snapshot().signals[0].accepted, 2, "what was counted counts on");
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_keeps_what_it_has_said_while_it_means_the_same() {
    let mut site = Site::with(|file| file.more(&group(45, ""))).await;
    let signals = site.proxy.signals().expect("there is one").clone();
    let feed = signals.feed("hashprice").expect("it is pushed");
    feed.observe(vec![Observation { value: 47.0, when: When::Now }]).await.expect("it is taken");
    let said =
        || signals.snapshot().signals.iter().find(|view| &*view.name == "hashprice").cloned().expect("it is there");
    let before = said().sources[0].value.expect("it has one");

    let more = "[[signal]]\nname = \"spot\"\nkind = \"push\"\nunit = \"USD/MWh\"\n";
    let older = |text: String| text.replace("unit = \"USD/PH/day\"\n", "unit = \"USD/PH/day\"\nmax_age = \"2h\"\n");
    let outcome = site.reload(|file| file.more(&(more.to_owned() + &older(group(45, ""))))).await;
    assert_eq!(outcome.pending().count(), 0, "{outcome:?}");
    let begins = "signals and decisions begin anew on it; who stays as it is keeps its values";
    let said_of_it = words(&outcome);
    assert_eq!((said_of_it.len(), &said_of_it[0]), (2, &format!("signal \"spot\" added; {begins}")));
    assert!(
        said_of_it[1].starts_with("signal \"hashprice\" max_age: ") && said_of_it[1].ends_with(begins),
        "{outcome:?}"
    );
    assert_eq!(said().sources[0].value, Some(before), "with its time");
    assert_eq!(does(&signals.snapshot()), Action::Mine);
    let spot = signals.feed("spot").expect("it is there at once");
    spot.observe(vec![Observation { value: 30.0, when: When::Now }]).await.expect("it is taken");

    // What is not plausible any more is not kept, and the site's other currency makes it another number.
    let narrow = |text: String| text.replace("max_age = \"2h\"\n", "max_age = \"2h\"\nrange = [48, 90]\n");
    site.reload(|file| file.more(&(more.to_owned() + &narrow(older(group(45, "")))))).await;
    assert_eq!(said().sources[0].value, None);
    feed.observe(vec![Observation { value: 50.0, when: When::Now }]).await.expect("the way to it is the same");
    let euros = narrow(older(group(45, ""))).replace("USD", "EUR").replace("[profit]", "[profit]\ncurrency = \"EUR\"");
    site.reload(|file| file.more(&euros)).await;
    assert_eq!((said().sources[0].value, said().accepted), (None, 2));
    let refused = feed.observe(vec![Observation { value: 50.0, when: When::Now }]).await;
    assert_eq!(refused, Err(Refusal::Unknown), "it was for dollars");
    assert!(spot.observe(vec![Observation { value: 30.0, when: When::Now }]).await.is_err(), "it is gone");
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_pools_jobs_feed_may_come_later() {
    let mut site = Site::new().await;
    assert!(site.proxy.signals().is_none(), "nobody asks for any");
    let more = "[[signal]]\nname = \"difficulty\"\nunit = \"difficulty\"\nkind = \"jobs\"\nfield = \"difficulty\"\n";
    site.reload(|file| file.more(more)).await;
    let signals = site.proxy.signals().expect("there is one now").clone();
    // The first job of another pool.
    let b = site.b.addr();
    site.reload(|file| file.pool("b", b, "").route("all", "", &["a", "b"])).await;
    let heard = signals.wait_for(|snapshot| snapshot.signals[0].reading.fresh().is_some());
    tokio::time::timeout(crate::world::LIMIT, heard).await.expect("a job tells it").expect("the proxy runs");
    site.ends_well().await;
}
