//! The Prometheus endpoint: every name, unit and help text, filled from the books when somebody scrapes.
//!
//! Limits: labels are pools and routes (those that are gone as well: [`MAX_PLACES`](crate::config::MAX_PLACES)), fixed reasons and at most [`MAX_DISAGREEING`](super::books::MAX_DISAGREEING) worker names.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, http::header, routing::get};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::net::TcpListener;

use super::{Books, LATENCY_BOUNDS_US, LatencySum, ProfitMetrics, Totals, gone::Said};
use crate::{
    config::Config,
    hash::Kernel,
    power::PowerSide,
    profit::task::Signals,
    reload::{Reload, Status},
};

/// Renders the books of one proxy.
pub struct Exporter {
    books: Arc<Books>,
    reload: Reload,
    recorder: PrometheusRecorder,
    profit: ProfitMetrics,
    power: PowerSide,
    /// What histograms were given already, and who had numbers.
    last: Mutex<Recorded>,
}

#[derive(Default)]
struct Recorded {
    reply: LatencySum,
    fan_out: LatencySum,
    pools: Vec<LatencySum>,
    said: Said,
}

impl Exporter {
    /// Names the pools and routes; `power` where something can be moved.
    ///
    /// # Errors
    /// Bucket bounds that the exporter does not take, which would be our mistake.
    pub fn new(books: Arc<Books>, reload: Reload, profit: ProfitMetrics, power: PowerSide) -> io::Result<Self> {
        let bounds: Vec<f64> = LATENCY_BOUNDS_US.iter().map(|us| Duration::from_micros(*us).as_secs_f64()).collect();
        let recorder = PrometheusBuilder::new().set_buckets(&bounds).map_err(io::Error::other)?.build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            super::profit::describe();
            super::power::describe();
        });
        Ok(Self { books, reload, recorder, profit, power, last: Mutex::default() })
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let totals = self.books.totals();
        let status = self.reload.status();
        metrics::with_local_recorder(&self.recorder, || {
            self.record(&totals, &status.places.config);
            record_reloads(&status);
            self.profit.record(jiff::Timestamp::now());
            let power = self.power.snapshot();
            match &power {
                Some(power) => super::power::record(power),
                None => super::power::record_orphans(&self.power.orphans()),
            }
            let signals = self.profit.signals.as_ref().map(Signals::snapshot);
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.said.give_way(Said::new(signals.as_deref(), power.as_deref()));
        });
        self.recorder.handle().render()
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

    fn record(&self, totals: &Totals, config: &Config) {
        // By their places, those that are gone as well: a counter never goes back. The books may know one more already, or not yet.
        let pools: Vec<String> = config.pools.iter().map(|pool| pool.name.to_string()).collect();
        let routes: Vec<String> = config.routes.iter().map(|route| route.name.to_string()).collect();
        let (pools, routes) = (
            &pools[..pools.len().min(totals.router.pools.len())],
            &routes[..routes.len().min(totals.router.active.len())],
        );
        gauge!("hashgate_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
        gauge!("hashgate_kernel_info", "kernel" => Kernel::get().name()).set(1);
        counter!("hashgate_shares_accepted_total").absolute(totals.accepted);
        gauge!("hashgate_shares_accepted_difficulty").set(totals.accepted_difficulty);
        for (reason, count) in &totals.rejected {
            counter!("hashgate_shares_rejected_total", "reason" => *reason).absolute(*count);
        }
        counter!("hashgate_shares_forwarded_total").absolute(totals.forwarded);
        counter!("hashgate_shares_unforwarded_total").absolute(totals.unforwarded);
        gauge!("hashgate_connections").set(totals.connections as f64);
        counter!("hashgate_connections_opened_total").absolute(totals.opened);
        counter!("hashgate_connections_closed_total", "reason" => "left").absolute(totals.left);
        for (reason, count) in &totals.closed {
            counter!("hashgate_connections_closed_total", "reason" => *reason).absolute(*count);
        }
        for (limit, count) in &totals.refused {
            counter!("hashgate_connections_refused_total", "limit" => *limit).absolute(*count);
        }
        for (index, route) in routes.iter().enumerate() {
            gauge!("hashgate_miners", "route" => route.clone()).set(totals.miners[index] as f64);
            gauge!("hashgate_hashrate_hashes_per_second", "route" => route.clone()).set(totals.hashrate[index].hs());
            let router = &totals.router;
            counter!("hashgate_route_failovers_total", "route" => route.clone()).absolute(router.failovers[index]);
            counter!("hashgate_route_fail_backs_total", "route" => route.clone()).absolute(router.fail_backs[index]);
            for (at, pool) in pools.iter().enumerate() {
                let active = f64::from(u8::from(router.active[index] == Some(at) && router.pools[at].connections > 0));
                gauge!("hashgate_route_pool_active", "route" => route.clone(), "pool" => pool.clone()).set(active);
            }
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.pools.len() < pools.len() {
            last.pools.resize_with(pools.len(), LatencySum::default);
        }
        record_histogram(&histogram!("hashgate_share_reply_seconds"), &totals.reply, &mut last.reply);
        record_histogram(&histogram!("hashgate_fan_out_seconds"), &totals.fan_out, &mut last.fan_out);
        for (index, pool) in pools.iter().enumerate() {
            let book = &totals.router.pools[index];
            gauge!("hashgate_pool_connections", "pool" => pool.clone()).set(book.connections as f64);
            gauge!("hashgate_pool_difficulty", "pool" => pool.clone()).set(book.difficulty.map_or(0.0, |d| d.get()));
            gauge!("hashgate_pool_shares_accepted_difficulty", "pool" => pool.clone()).set(book.accepted_difficulty);
            let count = |name: &'static str, value: u64| counter!(name, "pool" => pool.clone()).absolute(value);
            count("hashgate_pool_shares_accepted_total", book.accepted);
            count("hashgate_pool_shares_stale_to_both_total", book.stale_to_both);
            count("hashgate_pool_shares_unanswered_total", book.unanswered);
            count("hashgate_pool_shares_lost_unsettled_total", book.lost_unsettled);
            count("hashgate_pool_blocks_total", book.blocks);
            count("hashgate_pool_losses_total", book.losses);
            for (reason, rejected) in &book.rejected {
                counter!("hashgate_pool_shares_rejected_total", "pool" => pool.clone(), "reason" => *reason)
                    .absolute(*rejected);
            }
            let latency = histogram!("hashgate_pool_reply_seconds", "pool" => pool.clone());
            record_histogram(&latency, &book.latency, &mut last.pools[index]);
        }
        for ((worker, reason), disagreements) in &totals.router.disagreements {
            counter!("hashgate_disagreements_total", "worker" => worker.to_string(), "reason" => *reason)
                .absolute(*disagreements);
        }
        gauge!("hashgate_leases", "state" => "live").set(totals.router.leases_live as f64);
        gauge!("hashgate_leases", "state" => "parked").set(totals.router.leases_parked as f64);
        counter!("hashgate_leases_exhausted_total").absolute(totals.router.exhausted);
    }
}

fn record_reloads(status: &Status) {
    for (result, count) in [("applied", status.applied), ("unchanged", status.unchanged), ("refused", status.refused)] {
        counter!("hashgate_config_reloads_total", "result" => result).absolute(count);
    }
    let right_at = status.right_at.as_duration().as_secs_f64();
    gauge!("hashgate_config_last_reload_success_timestamp_seconds").set(right_at);
    gauge!("hashgate_config_pending_changes").set(status.pending.len() as f64);
}

/// Gives a histogram what came since the last time. The mean of a bucket lies in it, so that buckets and sum are both exact.
fn record_histogram(histogram: &metrics::Histogram, now: &LatencySum, last: &mut LatencySum) {
    for (now, last) in now.buckets.iter().zip(&last.buckets) {
        let events = now.events.saturating_sub(last.events);
        if events > 0 {
            let mean_us = now.sum_us.saturating_sub(last.sum_us) as f64 / events as f64;
            histogram.record_many(mean_us / 1e6, events as usize);
        }
    }
    *last = now.clone();
}

fn describe() {
    describe_gauge!("hashgate_build_info", "Always 1; the version is in the label.");
    describe_gauge!("hashgate_kernel_info", "Always 1; the kernel that hashes shares is in the label.");
    describe_counter!("hashgate_shares_accepted_total", "Shares that count.");
    describe_gauge!("hashgate_shares_accepted_difficulty", "Sum of the difficulties that shares were credited at.");
    describe_counter!("hashgate_shares_rejected_total", "Shares that do not count, by reason.");
    describe_counter!("hashgate_shares_forwarded_total", "Shares that met their pool's target and were sent to it.");
    describe_counter!("hashgate_shares_unforwarded_total", "Shares that a pool's full queue did not take.");
    describe_gauge!("hashgate_connections", "Open connections of miners.");
    describe_counter!("hashgate_connections_opened_total", "Connections accepted.");
    describe_counter!("hashgate_connections_closed_total", "Connections ended, by reason; left: by the miner.");
    describe_counter!("hashgate_connections_refused_total", "Connections not accepted, by the limit that was reached.");
    describe_gauge!("hashgate_miners", "Connections that have subscribed and authorized.");
    describe_gauge!("hashgate_hashrate_hashes_per_second", "Estimated from the shares that count.");
    describe_counter!("hashgate_route_failovers_total", "Unplanned moves of a route to another pool.");
    describe_counter!("hashgate_route_fail_backs_total", "Planned moves of a route back to a better pool.");
    describe_gauge!("hashgate_route_pool_active", "1 for the pool that a route mines for.");
    describe_histogram!(
        "hashgate_share_reply_seconds",
        Unit::Seconds,
        "From the wake-up that brought a share, or its pool's word on it, to the answer written."
    );
    describe_histogram!(
        "hashgate_fan_out_seconds",
        Unit::Seconds,
        "From a clean job read to a miner's socket written."
    );
    describe_gauge!("hashgate_pool_connections", "Connections to a pool that are logged in and have work.");
    describe_gauge!("hashgate_pool_difficulty", "Difficulty that a pool has set last; 0 before that.");
    describe_gauge!(
        "hashgate_pool_shares_accepted_difficulty",
        "Sum of the difficulties of shares that a pool accepted."
    );
    describe_counter!("hashgate_pool_shares_accepted_total", "Shares that a pool accepted.");
    describe_counter!(
        "hashgate_pool_shares_rejected_total",
        "Shares that we found good and a pool rejected, by reason."
    );
    describe_counter!(
        "hashgate_pool_shares_stale_to_both_total",
        "Shares that we found stale and a pool rejected as well."
    );
    describe_counter!("hashgate_pool_shares_unanswered_total", "Shares that a pool never answered.");
    describe_counter!("hashgate_pool_shares_lost_unsettled_total", "Shares that went down with a pool's connection.");
    describe_counter!("hashgate_pool_blocks_total", "Blocks among the shares that a pool accepted.");
    describe_counter!("hashgate_pool_losses_total", "Connections to a pool that were lost.");
    describe_histogram!("hashgate_pool_reply_seconds", Unit::Seconds, "From a share sent to a pool to its answer.");
    describe_counter!(
        "hashgate_disagreements_total",
        "Shares that we found good and a pool rejected, by worker and reason."
    );
    describe_counter!("hashgate_config_reloads_total", "Times that the config was read again, by result.");
    describe_gauge!(
        "hashgate_config_last_reload_success_timestamp_seconds",
        Unit::Seconds,
        "When a config was last found right: at the start, or by a reload; seconds since 1970."
    );
    describe_gauge!("hashgate_config_pending_changes", "Changes of the config that wait for a restart.");
    describe_gauge!("hashgate_leases", "Extranonce leases: live, or parked for a miner that may return.");
    describe_counter!("hashgate_leases_exhausted_total", "Miners refused because no extranonce was free.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Places;

    #[test]
    fn a_scrape_has_every_described_name_and_exact_buckets() {
        let (config, _) = Config::parse(
            "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"a\"\nurl = \"sim://\"\nuser = \"u\"\n",
            &crate::config::ProcessEnv { folder: ".".into() },
        )
        .unwrap();
        let books = Arc::new(Books::new(1, 1, 1));
        let (reload, _asks, _publish) = Reload::new(Status::at_start(Places::first(Arc::new(config)), Vec::new()));
        let exporter = Exporter::new(books.clone(), reload, ProfitMetrics::default(), PowerSide::of(None)).unwrap();
        books.worker(0).reply.record(Duration::from_micros(80), 3);
        let first = exporter.render();
        books.worker(0).reply.record(Duration::from_micros(80), 1);
        books.worker(0).reply.record(Duration::from_secs(100), 1);
        let second = exporter.render();
        assert!(first.contains("hashgate_share_reply_seconds_bucket{le=\"0.0001\"} 3"), "{first}");
        assert!(second.contains("hashgate_share_reply_seconds_bucket{le=\"0.0001\"} 4"), "{second}");
        assert!(second.contains("hashgate_share_reply_seconds_bucket{le=\"+Inf\"} 5"), "{second}");
        assert!(second.contains("hashgate_route_pool_active{route=\"default\",pool=\"a\"} 0"), "{second}");
        assert!(second.contains("# HELP hashgate_leases "), "{second}");
    }
}
