//! The dashboard in a real browser, against a real proxy: what is shown is so, what is ordered is done, and names of strangers stay text.

mod browser;
mod world;

use std::time::Duration;

use browser::{Browser, Page};
use tokio::time::sleep;
use world::{CONTROL, Crowd, READ, World};

/// All views.
const VIEWS: [&str; 5] = ["", "power", "miners", "pools", "history"];

/// A name that would do something if it were ever taken for HTML.
const HOSTILE: &str = "<img src=x onerror=\"document.title='taken'\">";

async fn enters(page: &Page, address: &str, token: &str) {
    page.go(address).await;
    page.types("#token", token).await;
    page.click("form button[type=submit]").await;
    page.until("it is let in", "!document.getElementById('top').hidden").await;
}

/// What a view of this width must not do.
async fn fits(page: &Page, width: u32) {
    let seen = page.js("return document.documentElement.scrollWidth").await;
    assert!(seen.as_u64() <= Some(width.into()), "{seen} of {width} pixels: {}", page.js("return location.hash").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_is_ordered_by_its_button_after_its_plan_was_shown_and_is_seen_to_end() {
    let Some(browser) = Browser::open().await else { return };
    let page = browser.page();
    let world = World::start().await;
    browser
        .with(async move {
            let address = world.address();
            page.is_sized(1440, 900).await;
            enters(&page, &address, CONTROL).await;
            page.says("#role", "control").await;
            page.until("no token is in the address", "!location.href.includes('control')").await;

            // Live data.
            page.says(".hero .state", "Mining").await;
            page.says(".hero .headline", "2 of 2 groups mine").await;
            page.says("#tile-miners .value span", "10").await;
            page.until(
                "shares are counted",
                "parseInt(document.querySelector('#tile-hash p:nth-of-type(2)').innerText) > 0",
            )
            .await;
            // 2 times 15 kW, more or less: 104.2 $/MWh against 40, and a kW of base load.
            page.until("it earns", "/^\\$[12]\\.\\d\\d/.test(document.querySelector('#tile-earns .value').innerText)")
                .await;
            page.until(
                "charts have values",
                "document.querySelector('#chart-hashrate .words').innerText.includes('now')",
            )
            .await;
            page.until("and are drawn", "document.querySelectorAll('.plot canvas').length === 3").await;
            page.says(".groups li:first-child .badge", "mining").await;
            page.until(
                "all machines are known",
                "document.querySelector('.groups li .facts').innerText.includes('5\u{a0}machines')",
            )
            .await;
            page.says(".groups li:first-child .kw", "of 15\u{202f}kW").await;

            // The plan, then the word, then how far it is, then the receipt.
            page.click(".groups li:first-child button[data-order=drain]").await;
            page.says("dialog .plan", "5 machines").await;
            page.says("dialog .plan", "kW").await;
            page.until("it can be ordered", "!document.querySelector('dialog button.main').disabled").await;
            let orders = world.proxy.power().expect("something can be moved").snapshot().orders.clone();
            assert_eq!(orders, [None, None], "a plan orders nothing");
            page.types("#order-why", "a fan is changed").await;
            page.click("dialog button.main").await;
            page.says("dialog .reached", "Drain ended, done: 5 of 5 machines proven").await;
            assert_eq!(world.site.report().counts.asleep, world::MACHINES);
            page.click("dialog .buttons button").await;
            page.says(".groups li:first-child .badge", "asleep").await;
            page.says(".groups li:first-child .why", "drain, a fan is changed").await;
            page.says(".groups li:last-child .badge", "mining").await;

            // It is in the history, and another order ends it.
            page.go(&format!("{address}/#/history")).await;
            page.says(".history", "hall-a: drain").await;
            page.go(&format!("{address}/#/")).await;
            page.click(".groups li:first-child button[data-order=release]").await;
            page.until("it can be ordered", "!document.querySelector('dialog button.main').disabled").await;
            page.click("dialog button.main").await;
            page.says("dialog .reached", "Prices decide again").await;
            page.click("dialog .buttons button").await;
            page.says(".groups li:first-child .badge", "mining").await;
            page.says(".side", "wake ended, done").await;
            assert_eq!(page.console().await, [""; 0]);
            world.end().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_fit_a_phone_and_a_wall_and_a_token_opens_what_it_is_for() {
    let Some(browser) = Browser::open().await else { return };
    let page = browser.page();
    let world = World::start().await;
    browser
        .with(async move {
            let address = world.address();
            page.is_sized(360, 800).await;
            page.go(&address).await;
            page.types("#token", "what is this").await;
            page.click("form button[type=submit]").await;
            page.says("#token-wrong", "does not know this token").await;
            let said = page.console().await;
            assert!(said.iter().all(|line| line.contains("401")), "{said:?}");

            enters(&page, &address, READ).await;
            page.says(".groups", "hall-a").await;
            page.until("machines are known", "document.querySelector('.groups .kw').innerText.includes('kW')").await;
            page.until("who may look has no buttons", "[...document.querySelectorAll('.groups .buttons')].every((each) => each.hidden)").await;
            for view in VIEWS {
                page.is_sized(360, 800).await;
                page.go(&format!("{address}/#/{view}")).await;
                page.until("it is shown", &format!("location.hash === '#/{view}' && document.querySelector('main h1')")).await;
                // What comes in makes it wider, if anything does.
                sleep(Duration::from_millis(1500)).await;
                fits(&page, 360).await;
                page.is_sized(3840, 2160).await;
                fits(&page, 3840).await;
            }
            page.is_sized(1920, 1080).await;
            page.go(&format!("{address}/#/")).await;
            page.until("a wall needs no scrolling for its charts", "(() => { const last = document.getElementById('chart-decisions'); return last && last.getBoundingClientRect().bottom <= 1080; })()").await;
            page.go(&format!("{address}/#/miner/hall-a.0001")).await;
            page.says("main h1", "hall-a.0001").await;
            page.says(".miner .facts", "hall-a").await;
            assert_eq!(page.console().await, [""; 0]);
            world.end().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_workers_scroll_in_a_few_rows_and_a_name_stays_text() {
    let Some(browser) = Browser::open().await else { return };
    let page = browser.page();
    let mut names: Vec<String> = (1..10_000).map(|number| format!("farm.{number:05}")).collect();
    names.push(HOSTILE.to_owned());
    let crowd = Crowd::start(&names).await;
    browser
        .with(async move {
            let address = world::address(&crowd.proxy);
            page.is_sized(1440, 900).await;
            enters(&page, &address, READ).await;
            page.go(&format!("{address}/#/miners")).await;
            page.says("main header", "10\u{202f}000 known").await;
            page.until("by name", "(() => { document.querySelector('th[data-sort=name] button').click(); return true; })()").await;
            // `<` is before every letter.
            page.until("the first is there", &format!("document.querySelector('.virtual tbody th').innerText.includes({})", serde_json::json!(HOSTILE))).await;
            page.until("and is text", "document.querySelectorAll('.virtual img').length === 0 && document.title !== 'taken'").await;
            let rows = "document.querySelectorAll('.virtual tbody tr').length";
            page.js("document.querySelector('.virtual').scrollTop = 1e9").await;
            page.until("the last is there", "[...document.querySelectorAll('.virtual tbody th')].some((each) => each.innerText === 'farm.09999')").await;
            page.until("in view", "(() => { const box = document.querySelector('.virtual').getBoundingClientRect(); const last = [...document.querySelectorAll('.virtual tbody tr:not(.gap)')].at(-1).getBoundingClientRect(); return last.bottom <= box.bottom + 1 && last.top > box.top; })()").await;
            page.until("with few rows", &format!("{rows} < 60")).await;
            page.js("document.querySelector('.virtual').scrollTop = 200000").await;
            page.until("the middle is there", "[...document.querySelectorAll('.virtual tbody th')].some((each) => /^farm\\.0[4-6]\\d{3}$/.test(each.innerText)) && !document.querySelector('.virtual [data-waits]')").await;
            page.until("with few nodes", "document.querySelectorAll('*').length < 1500").await;

            page.types("#search", "onerror").await;
            page.until("one is found", "document.querySelectorAll('.virtual tbody tr:not(.gap)').length === 1").await;
            page.click(".virtual tbody a").await;
            page.says("main h1", HOSTILE).await;
            page.says(".miner .facts", "farm").await;
            page.until("it is text here too", "document.querySelectorAll('main img').length === 0 && document.title !== 'taken'").await;
            assert_eq!(page.console().await, [""; 0]);
            crowd.proxy.shut_down(Duration::from_millis(100)).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_gone_is_told_and_the_page_comes_back_by_itself() {
    let Some(browser) = Browser::open().await else { return };
    let page = browser.page();
    let world = World::start().await;
    browser
        .with(async move {
            enters(&page, &world.address(), CONTROL).await;
            page.says("#word", "live").await;
            page.says("#tile-miners .value span", "10").await;
            assert_eq!(page.console().await, [""; 0]);
            let seen = page.clone();
            let world = world
                .restart(async move {
                    seen.says("#banner", "The proxy does not answer").await;
                    seen.says("#word", "last word").await;
                    seen.says("#tile-miners .value", "online").await;
                })
                .await;
            page.until(
                "it is live again",
                "document.getElementById('banner').hidden && document.getElementById('word').dataset.state === 'live'",
            )
            .await;
            page.go(&format!("{}/#/history", world.address())).await;
            page.says(".history", "the proxy was started anew").await;
            let said = page.console().await;
            assert!(
                said.iter().all(|line| line.contains("Failed to load resource") || line.contains("net::ERR_")),
                "{said:?}"
            );
            world.end().await;
        })
        .await;
}
