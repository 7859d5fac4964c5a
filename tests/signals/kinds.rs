//! Files, commands and schedules.

use std::fs;

use hashgate::profit::Reading;
use jiff::Timestamp;

use crate::site::{Live, is_fresh};

#[tokio::test]
async fn a_file_is_read_again_when_it_was_rewritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("price.txt");
    let live = Live::start(&format!("[[signal]]\nunit = \"ct/kWh\"\nkind = \"file\"\npath = {path:?}\n"));
    // It is not there yet, which is said once.
    let view = live.refused("unreachable", 1).await;
    assert_eq!(view.reading, Reading::Never);
    // Written beside and moved, as it should be: nobody sees half of it.
    let rewrite = |text: &str| {
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
    };
    rewrite("4.2\n");
    let view = live.wait("4.2", |view| view.reading.fresh() == Some(42.0)).await;
    assert!(view.sources[0].value.is_some_and(|(_, at)| at <= Timestamp::now()));
    rewrite("-0.5 is the price\n");
    let view = live.refused("unreadable", 1).await;
    assert_eq!((view.reading.fresh(), view.refused["unreachable"]), (Some(42.0), 1));
    rewrite("-12.25");
    live.wait("-12.25", |view| view.reading.fresh() == Some(-122.5)).await;
    live.stop().await;
}

#[tokio::test]
async fn a_file_that_is_not_rewritten_becomes_stale() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, b"{\"price\": 7}").unwrap();
    let path = file.path();
    let live = Live::start(&format!(
        "[[signal]]\nunit = \"USD/MWh\"\nkind = \"file\"\npath = {path:?}\nvalue = \"/price\"\nmax_age = \"1s\"\n"
    ));
    live.wait("a value", is_fresh).await;
    live.wait("a stale one", |view| matches!(view.reading, Reading::Stale { value: 7.0, .. })).await;
    live.stop().await;
}

#[tokio::test]
async fn a_command_says_what_it_says() {
    let text = |command: &str, more: &str| {
        format!("[[signal]]\nunit = \"USD/GPUh\"\nkind = \"exec\"\ncommand = {command}\nmax_age = \"10m\"\n{more}")
    };
    let live = Live::start(&text(r#"["/bin/echo", '{"usd": "2.05"}']"#, "value = \"/usd\"\n"));
    assert_eq!(live.value().await, 2.05);
    live.stop().await;
    let live = Live::start(&text(r#"["/bin/sh", "-c", "echo no key >&2; exit 4"]"#, ""));
    let view = live.refused("failed", 2).await;
    let (_, why) = view.sources[0].refusal.clone().unwrap();
    assert_eq!(why.to_string(), "/bin/sh ended with exit status: 4: no key");
    live.stop().await;
}

#[tokio::test]
async fn the_clock_has_a_value_at_every_time() {
    let live = Live::start(
        "[[signal]]\nunit = \"verdict\"\nkind = \"schedule\"\nzone = \"UTC\"\notherwise = \"profitable\"\n\
         windows = [{ from = \"00:00\", to = \"24:00\", value = \"unprofitable\" }]\n",
    );
    assert_eq!(live.value().await, 0.0);
    let view = live.wait("until tomorrow", is_fresh).await;
    assert!(view.sources[0].until.is_some_and(|until| until > Timestamp::now()));
    live.stop().await;
}
