//! The Prometheus endpoint: a page filled from the books when somebody scrapes, and nothing before.
//!
//! | label | values | bound |
//! |---|---|---|
//! | `pool`, `route` | names of the config; of counters those that are gone as well, as a counter never goes back | [`MAX_PLACES`](crate::config::MAX_PLACES) |
//! | `signal`, `group`, `ai`, `peer` | names of the config | its size |
//! | `reason`, `limit`, `state`, `what` … | fixed words | |
//! | `worker` | what miners call themselves, where a pool disagrees with us | [`MAX_SERIES_OF_MINERS`] |
//!
//! Nothing else is named by miners: however many there are and whatever they send, they add [`MAX_SERIES_OF_MINERS`] series at most.

use std::{future::Future, io, sync::Arc};

use axum::{Router, http::header, routing::get};
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::{
    Books, ProfitMetrics, RouterBook, Totals,
    books::MAX_DISAGREEING,
    names::{self, Family},
    text::Page,
};
use crate::{
    config::Places,
    hash::Kernel,
    power::PowerSide,
    reload::{Reload, Status},
    store::Store,
    stratum::PoolError,
};

/// Series that miners can add: one for each pair of a worker and a cause that is counted apart, and "other" of each cause.
pub const MAX_SERIES_OF_MINERS: usize = MAX_DISAGREEING + PoolError::LABELS.len();

/// Renders the books of one proxy.
pub struct Exporter {
    books: Arc<Books>,
    reload: Reload,
    profit: ProfitMetrics,
    power: PowerSide,
    store: Option<Store>,
}

impl Exporter {
    /// Of these books; pools and routes are called as the config in force calls them.
    pub fn new(books: Arc<Books>, reload: Reload, profit: ProfitMetrics, power: PowerSide) -> Self {
        Self { books, reload, profit, power, store: None }
    }

    /// Where something is kept.
    #[must_use]
    pub fn with_store(mut self, store: Option<Store>) -> Self {
        self.store = store;
        self
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let (totals, status, now) = (self.books.totals(), self.reload.status(), Timestamp::now());
        let mut page = Page::default();
        page.gauge(&names::BUILD, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        page.gauge(&names::KERNEL, &[("kernel", Kernel::get().name())], 1.0);
        miners(&mut page, &totals);
        routes(&mut page, &status.places, &totals);
        pools(&mut page, &status.places, &totals.router);
        reloads(&mut page, &status);
        self.profit.record(&mut page, now);
        match self.power.snapshot() {
            Some(snapshot) => super::power::record(&mut page, &snapshot),
            None => super::power::orphans(&mut page, &self.power.orphans()),
        }
        if let Some(store) = &self.store {
            super::store::record(&mut page, &store.status(), now);
        }
        page.finish()
    }

    /// Serves `GET /metrics` until `stop` resolves.
    ///
    /// # Errors
    /// The socket's.
    pub async fn serve(self, socket: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let exporter = Arc::new(self);
        let metrics = get(move || async move {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], exporter.render())
        });
        axum::serve(socket, Router::new().route("/metrics", metrics)).with_graceful_shutdown(stop).await
    }
}

fn miners(page: &mut Page, totals: &Totals) {
    page.gauge(&names::CONNECTIONS, &[], totals.connections as f64);
    page.count(&names::OPENED, &[], totals.opened);
    page.count(&names::CLOSED, &[("reason", "left")], totals.left);
    for (reason, count) in &totals.closed {
        page.count(&names::CLOSED, &[("reason", reason)], *count);
    }
    for (limit, count) in &totals.refused {
        page.count(&names::REFUSED, &[("limit", limit)], *count);
    }
    page.count(&names::ACCEPTED, &[], totals.accepted);
    page.sum(&names::ACCEPTED_DIFFICULTY, &[], totals.accepted_difficulty);
    for (reason, count) in &totals.rejected {
        page.count(&names::REJECTED, &[("reason", reason)], *count);
    }
    page.count(&names::FORWARDED, &[], totals.forwarded);
    page.count(&names::UNFORWARDED, &[], totals.unforwarded);
    page.histogram(&names::REPLY, &[], &totals.reply);
    page.histogram(&names::FAN_OUT, &[], &totals.fan_out);
    for ((worker, reason), count) in &totals.router.disagreements {
        page.count(&names::DISAGREEMENTS, &[("worker", worker), ("reason", reason)], *count);
    }
    page.gauge(&names::LEASES, &[("state", "live")], totals.router.leases_live as f64);
    page.gauge(&names::LEASES, &[("state", "parked")], totals.router.leases_parked as f64);
    page.count(&names::EXHAUSTED, &[], totals.router.exhausted);
}

/// Counters of all that there ever were: they never go back. What is now, of those that there are, and of those that somebody is still on. The
/// books may not know the newest yet.
fn routes(page: &mut Page, places: &Places, totals: &Totals) {
    let router = &totals.router;
    let lives = |pool: usize| router.pools.get(pool).is_some_and(|pool| pool.connections > 0);
    for (index, route) in places.config.routes.iter().enumerate().take(router.active.len()) {
        let label = ("route", &*route.name);
        page.count(&names::FAILOVERS, &[label], router.failovers[index]);
        page.count(&names::FAIL_BACKS, &[label], router.fail_backs[index]);
        let is_there = places.routes.contains(&index);
        if is_there || totals.miners[index] > 0 {
            page.gauge(&names::MINERS, &[label], totals.miners[index] as f64);
            page.gauge(&names::HASHRATE, &[label], totals.hashrate[index].hs());
        }
        if is_there {
            page.flag(&names::ROUTE_UP, &[label], route.pools.iter().any(|pool| lives(*pool)));
            for pool in route.pools.iter().copied() {
                let is_active = router.active[index] == Some(pool) && lives(pool);
                page.flag(&names::ROUTE_POOL, &[label, ("pool", &places.config.pools[pool].name)], is_active);
            }
        }
    }
}

/// As with routes.
fn pools(page: &mut Page, places: &Places, router: &RouterBook) {
    for (pool, book) in places.config.pools.iter().zip(&router.pools) {
        let label = ("pool", &*pool.name);
        let mut count = |family: &'static Family, count: u64| page.count(family, &[label], count);
        count(&names::POOL_ACCEPTED, book.accepted);
        count(&names::POOL_STALE, book.stale_to_both);
        count(&names::POOL_UNANSWERED, book.unanswered);
        count(&names::POOL_LOST, book.lost_unsettled);
        count(&names::POOL_BLOCKS, book.blocks);
        count(&names::POOL_LOSSES, book.losses);
        page.sum(&names::POOL_ACCEPTED_DIFFICULTY, &[label], book.accepted_difficulty);
        for reason in PoolError::LABELS {
            let count = book.rejected.get(reason).copied().unwrap_or_default();
            page.count(&names::POOL_REJECTED, &[label, ("reason", reason)], count);
        }
        page.histogram(&names::POOL_REPLY, &[label], &book.latency);
    }
    for index in places.pools.iter().copied() {
        let (Some(book), label) = (router.pools.get(index), ("pool", &*places.config.pools[index].name)) else {
            continue;
        };
        page.gauge(&names::POOL_CONNECTIONS, &[label], book.connections as f64);
        page.gauge(&names::POOL_DIFFICULTY, &[label], book.difficulty.map_or(0.0, |difficulty| difficulty.get()));
        // Nobody connects to a pool without a route.
        if places.is_routed(index) {
            page.flag(&names::POOL_UP, &[label], book.connections > 0);
        }
        certificate(page, "pool", label.1, book.certificate_ends);
    }
}

/// When a server's certificate ends; where none was seen, nothing is said.
pub(super) fn certificate(page: &mut Page, peer_kind: &str, peer: &str, ends: Option<Timestamp>) {
    if ends.is_some() {
        page.time(&names::CERTIFICATE_EXPIRY, &[("peer_kind", peer_kind), ("peer", peer)], ends);
    }
}

fn reloads(page: &mut Page, status: &Status) {
    for (result, count) in [("applied", status.applied), ("unchanged", status.unchanged), ("refused", status.refused)] {
        page.count(&names::RELOADS, &[("result", result)], count);
    }
    page.time(&names::RELOADED_AT, &[], Some(status.right_at));
    page.gauge(&names::PENDING, &[], status.pending.len() as f64);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn places(text: &str) -> Places {
        let text = format!("[[listener]]\nlisten = \"127.0.0.1:0\"\n{text}");
        let (config, _) = Config::parse(&text, &crate::config::ProcessEnv { folder: ".".into() }).unwrap();
        Places::first(Arc::new(config))
    }

    fn exporter(books: &Arc<Books>, places: Places) -> Exporter {
        let (reload, _asks, _publish) = Reload::new(Status::at_start(places, Vec::new()));
        Exporter::new(books.clone(), reload, ProfitMetrics::default(), PowerSide::of(None))
    }

    const ONE: &str = "[[pool]]\nname = \"a\"\nurl = \"sim://\"\nuser = \"u\"\n";

    #[test]
    fn each_scrape_tells_all_that_was_until_then() {
        let books = Arc::new(Books::new(1, 1, 1));
        let exporter = exporter(&books, places(ONE));
        books.worker(0).reply.record(Duration::from_micros(80), 3);
        let first = exporter.render();
        books.worker(0).reply.record(Duration::from_micros(80), 1);
        books.worker(0).reply.record(Duration::from_secs(100), 1);
        books.worker(0).accepted_difficulty.add(0.5);
        let second = exporter.render();
        assert!(first.contains("hashgate_share_reply_seconds_bucket{le=\"0.0001\"} 3\n"), "{first}");
        assert!(second.contains("hashgate_share_reply_seconds_bucket{le=\"0.0001\"} 4\n"), "{second}");
        assert!(second.contains("hashgate_share_reply_seconds_bucket{le=\"+Inf\"} 5\n"), "{second}");
        assert!(second.contains("hashgate_route_pool_active{route=\"default\",pool=\"a\"} 0\n"), "{second}");
        assert!(second.contains("hashgate_shares_accepted_difficulty_total 0.5\n"), "{second}");
        assert!(second.contains("# HELP hashgate_leases "), "{second}");
    }

    #[test]
    fn a_pool_that_is_gone_keeps_its_counters_and_is_not_down() {
        let before = places(&format!("{ONE}{}", ONE.replace("\"a\"", "\"b\"")));
        let after = before.next(&places(ONE).config).unwrap();
        let books = Arc::new(Books::new(1, 2, 1));
        for (places, is_there) in [(before, true), (after, false)] {
            let text = exporter(&books, places).render();
            assert!(text.contains("hashgate_pool_losses_total{pool=\"b\"} 0\n"), "{text}");
            assert_eq!(text.contains("hashgate_pool_up{pool=\"b\"} 0\n"), is_there, "{text}");
        }
    }

    #[test]
    fn a_route_is_up_while_one_of_its_pools_is() {
        let books = Arc::new(Books::new(1, 1, 1));
        let exporter = exporter(&books, places(ONE));
        assert!(exporter.render().contains("hashgate_route_up{route=\"default\"} 0\n"));
        books.router().pools[0].connections = 1;
        assert!(exporter.render().contains("hashgate_route_up{route=\"default\"} 1\n"));
        assert!(exporter.render().contains("hashgate_pool_up{pool=\"a\"} 1\n"));
    }

    #[test]
    fn miners_add_no_more_series_than_the_bound_whatever_they_are_called() {
        let books = Arc::new(Books::new(1, 1, 1));
        let exporter = exporter(&books, places(ONE));
        let series = || exporter.render().lines().filter(|line| !line.starts_with('#')).count();
        let without = series();
        for number in 0..5_000 {
            let worker: Arc<str> = format!("\"}} {number}\n\\").into();
            for cause in PoolError::LABELS {
                books.router().disagree(&worker, cause);
            }
        }
        let more = series() - without;
        assert!((MAX_DISAGREEING..=MAX_SERIES_OF_MINERS).contains(&more), "{more} more");
    }
}
