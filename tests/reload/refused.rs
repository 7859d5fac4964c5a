//! A config that can't be had is refused whole; what needs a restart waits for one, and keeps nothing else back.

use hashgate::reload::Refused;

use crate::site::{Site, words};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_refuses_all_that_came_with_it() {
    let mut site = Site::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let guests = format!("[[listener]]\nname = \"guests\"\nlisten = \"{}\"", taken.local_addr().expect("an address"));
    let (address, logins) = (site.a.addr(), site.a.stats().connections_ever);
    let refused =
        site.try_reload(|file| file.pool("a", address, "password = \"another\"").more(&guests)).await.unwrap_err();
    let Refused::NotHad(why) = refused else { panic!("{refused:?}") };
    assert!(why.starts_with("listener \"guests\" can't listen on "), "{why}");
    let status = site.proxy.reload().status();
    assert_eq!((status.applied, status.refused, status.places.config.listeners.len()), (0, 1, 1));
    site.mines_for(&site.a).await;
    assert_eq!(site.a.stats().connections_ever, logins, "the password is the old one");
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_says_so_until_it_is_taken_back() {
    let mut site = Site::new().await;
    let metrics = "[metrics]\nlisten = \"127.0.0.1:0\"";
    let outcome = site.reload(|file| file.more(metrics).limits("accepts_per_second = 777")).await;
    assert_eq!(
        words(&outcome),
        ["[metrics] added; needs a restart", "[limits] accepts_per_second: 2000 → 777; from now on"]
    );
    let status = site.proxy.reload().status();
    assert_eq!((status.applied, status.pending.len(), status.places.config.limits.accepts_per_second), (1, 1, 777));
    assert_eq!(words(&site.reload(|file| file).await), ["[metrics] added; needs a restart"]);
    assert_eq!(words(&site.reload(|file| file.more("")).await), Vec::<String>::new());
    let status = site.proxy.reload().status();
    assert_eq!((status.applied, status.unchanged, status.pending.len()), (1, 2, 0));
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_changes_nothing() {
    let site = Site::new().await;
    let b = site.b.addr();
    let file = site.file.clone().without_pool("a").pool("b", b, "").route("all", "", &["b"]);
    let outcome = site.proxy.reload().config(file.config(), true).await.expect("it could be followed");
    assert_eq!(outcome.changes.len(), 3, "{outcome:?}");
    site.mines_for(&site.a).await;
    assert_eq!(site.b.stats().connections_ever, 0);
    let status = site.proxy.reload().status();
    assert!(status.last.is_none() && status.applied + status.refused + status.unchanged == 0);
    site.ends_well().await;
}
