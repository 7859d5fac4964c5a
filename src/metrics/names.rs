//! Every name that leaves the program, its type and its help: what is not here can't be exported.
//!
//! Units are base units: seconds, watts, joules, bytes, hashes; times are seconds since 1970. Counters end in `_total`. The README's table says
//! what to make of them; tests keep both, the dashboard and the alert rules together (`tests/metrics/`).

/// What can be done with the numbers of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows, and begins anew with the process.
    Counter,
    /// It is what it is now.
    Gauge,
    /// How many were how long.
    Histogram,
}

impl Kind {
    /// As the text format has it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A name, with labels or without.
#[derive(Debug)]
pub struct Family {
    /// As Prometheus knows it.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// For people.
    pub help: &'static str,
}

macro_rules! families {
    ($($id:ident: $kind:ident $name:literal $help:literal;)*) => {
        $(pub(super) static $id: Family = Family { name: $name, kind: Kind::$kind, help: $help };)*

        /// Every family there is, in the order of a scrape.
        pub static FAMILIES: &[&Family] = &[$(&$id),*];
    };
}

families! {
    BUILD: Gauge "hashgate_build_info" "Always 1; the version is in the label.";
    KERNEL: Gauge "hashgate_kernel_info" "Always 1; the kernel that hashes shares is in the label.";

    CONNECTIONS: Gauge "hashgate_connections" "Open connections of miners.";
    OPENED: Counter "hashgate_connections_opened_total" "Connections accepted.";
    CLOSED: Counter "hashgate_connections_closed_total" "Connections ended, by reason; left: by the miner.";
    REFUSED: Counter "hashgate_connections_refused_total" "Connections not accepted, by the limit that was reached.";
    MINERS: Gauge "hashgate_miners" "Connections that have subscribed and authorized.";
    HASHRATE: Gauge "hashgate_hashrate_hashes_per_second" "Estimated from the shares that count.";
    ACCEPTED: Counter "hashgate_shares_accepted_total" "Shares that count.";
    ACCEPTED_DIFFICULTY: Counter "hashgate_shares_accepted_difficulty_total"
        "Sum of the difficulties that shares were credited at; each stands for 2^32 hashes.";
    REJECTED: Counter "hashgate_shares_rejected_total" "Shares that do not count, by reason.";
    FORWARDED: Counter "hashgate_shares_forwarded_total" "Shares that met their pool's target and were sent to it.";
    UNFORWARDED: Counter "hashgate_shares_unforwarded_total" "Shares that a pool's full queue did not take.";
    REPLY: Histogram "hashgate_share_reply_seconds"
        "From the wake-up that brought a share, or its pool's word on it, to the answer written.";
    FAN_OUT: Histogram "hashgate_fan_out_seconds" "From a clean job read to a miner's socket written.";
    DISAGREEMENTS: Counter "hashgate_disagreements_total"
        "Shares that we found good and a pool rejected, by worker and reason.";
    LEASES: Gauge "hashgate_leases" "Extranonce leases: live, or parked for a miner that may return.";
    EXHAUSTED: Counter "hashgate_leases_exhausted_total" "Miners refused because no extranonce was free.";

    ROUTE_UP: Gauge "hashgate_route_up" "1 while some pool of a route can be mined for.";
    ROUTE_POOL: Gauge "hashgate_route_pool_active" "1 for the pool that a route mines for.";
    FAILOVERS: Counter "hashgate_route_failovers_total" "Unplanned moves of a route to another pool.";
    FAIL_BACKS: Counter "hashgate_route_fail_backs_total" "Planned moves of a route back to a better pool.";

    POOL_UP: Gauge "hashgate_pool_up" "1 while a pool that a route names has a connection with work, 0 while it has none.";
    POOL_CONNECTIONS: Gauge "hashgate_pool_connections" "Connections to a pool that are logged in and have work.";
    POOL_DIFFICULTY: Gauge "hashgate_pool_difficulty" "Difficulty that a pool has set last; 0 before that.";
    POOL_ACCEPTED: Counter "hashgate_pool_shares_accepted_total" "Shares that a pool accepted.";
    POOL_ACCEPTED_DIFFICULTY: Counter "hashgate_pool_shares_accepted_difficulty_total"
        "Sum of the difficulties of shares that a pool accepted; each stands for 2^32 hashes.";
    POOL_REJECTED: Counter "hashgate_pool_shares_rejected_total"
        "Shares that we found good and a pool rejected, by reason.";
    POOL_STALE: Counter "hashgate_pool_shares_stale_to_both_total"
        "Shares that we found stale and a pool rejected as well.";
    POOL_UNANSWERED: Counter "hashgate_pool_shares_unanswered_total" "Shares that a pool never answered.";
    POOL_LOST: Counter "hashgate_pool_shares_lost_unsettled_total" "Shares that went down with a pool's connection.";
    POOL_BLOCKS: Counter "hashgate_pool_blocks_total" "Blocks among the shares that a pool accepted.";
    POOL_LOSSES: Counter "hashgate_pool_losses_total" "Connections to a pool that were lost.";
    POOL_REPLY: Histogram "hashgate_pool_reply_seconds" "From a share sent to a pool to its answer.";

    CERTIFICATE_EXPIRY: Gauge "hashgate_tls_certificate_expiry_timestamp_seconds"
        "When the certificate ends that a server has shown last; of several servers behind one name the first. Seconds since 1970.";

    RELOADS: Counter "hashgate_config_reloads_total" "Times that the config was read again, by result.";
    RELOADED_AT: Gauge "hashgate_config_last_reload_success_timestamp_seconds"
        "When a config was last found right: at the start, or by a reload. Seconds since 1970.";
    PENDING: Gauge "hashgate_config_pending_changes" "Changes of the config that wait for a restart.";
    API_REFUSED: Counter "hashgate_api_refused_total" "Requests to the admin API that were refused, by reason.";

    SIGNAL_STATE: Gauge "hashgate_signal_state" "1 for what a signal is: never seen, fresh, stale, or split.";
    SIGNAL_VALUE: Gauge "hashgate_signal_value"
        "What a signal says, in the unit of its label; NaN while it says nothing.";
    SIGNAL_AGE: Gauge "hashgate_signal_age_seconds" "How long ago a signal's value was observed; NaN while there is none.";
    SIGNAL_ACCEPTED: Counter "hashgate_signal_accepted_total" "Observations of a signal that said something new.";
    SIGNAL_REFUSED: Counter "hashgate_signal_refused_total" "Observations of a signal that were not taken, by reason.";
    DECISION: Gauge "hashgate_decision" "1 for what a group is to do.";
    DECISION_CHANGES: Counter "hashgate_decision_changes_total" "Changes of what a group is to do.";
    MARGIN: Gauge "hashgate_margin_per_joule"
        "What a joule of a group's power earns over its cost at the site meter, by use, in the currency of its label; 3.6e9 of them are a MWh. NaN if not known.";
    AI_WATTS: Gauge "hashgate_ai_watts" "Power at the site meter that an AI block is to have.";

    POWER_WATTS: Gauge "hashgate_power_watts"
        "Power of the site: by its meter, as the sum of what was measured, as it counts against the cap, and the cap. NaN if not known.";
    POWER_MODE: Gauge "hashgate_power_mode" "1 for how far decisions go: dry_run, advise or active.";
    POWER_EPOCH: Gauge "hashgate_power_epoch" "Term of office of this controller; each start has a higher one.";
    OVER_CAP: Counter "hashgate_over_cap_readings_total" "Readings of the site's meter that were over the cap.";
    OVER_CAP_MOST: Gauge "hashgate_over_cap_max_watts" "The most that such a reading was over it.";
    LEDGER_REFUSED: Counter "hashgate_ledger_refused_total" "Times that the power ledger refused more power.";
    RECEIPTS: Counter "hashgate_receipts_total" "Drains and wakes that ended.";
    GROUP_PHASE: Gauge "hashgate_group_phase" "1 for where a group is between mining and asleep.";
    GROUP_WATTS: Gauge "hashgate_group_watts" "What a group's machines draw, at their own supplies.";
    GROUP_KNOWN: Gauge "hashgate_group_devices_known" "Machines of a group.";
    GROUP_MEASURED: Gauge "hashgate_group_devices_measured" "Machines of a group with a fresh reading of their watts.";
    GROUP_IDLE: Gauge "hashgate_group_devices_idle"
        "Machines of a group that sleep although nobody here put them to sleep.";
    GROUP_DEVICES: Gauge "hashgate_group_devices"
        "Machines of a group that do not just mine, by goal and how far they are.";
    LEASE_WATTS: Gauge "hashgate_lease_watts"
        "Power of an AI block: what it should have, was given, is asked back, may draw (its idle draw at least), and draws. NaN if not known.";
    ORPHAN_MACHINES: Gauge "hashgate_orphan_machines"
        "Machines that the ledger has put to sleep and no group of the config has with an actuator.";
    ORPHAN_WATTS: Gauge "hashgate_orphan_lease_watts"
        "Power that AI blocks hold which the config has not with a control.";

    STORE_UP: Gauge "hashgate_store_up" "1 while the store can be written, 0 while it can't.";
    STORE_WRITTEN: Counter "hashgate_store_written_total" "What was written, by kind: rows of counts, and records.";
    STORE_BATCHES: Counter "hashgate_store_batches_total" "Transactions that were written.";
    STORE_ERRORS: Counter "hashgate_store_write_errors_total" "Tries to write that failed; what they held is tried again.";
    STORE_WAITING: Gauge "hashgate_store_queue_length" "What waits to be written, by kind.";
    STORE_ROOM: Gauge "hashgate_store_queue_limit" "The most that may wait, by kind.";
    STORE_DROPPED: Counter "hashgate_store_dropped_total"
        "What is not kept: records that found no room, rows of workers that have no place.";
    STORE_MERGED: Counter "hashgate_store_merged_total"
        "Minutes that found no room, and whose counts went into a later one.";
    STORE_LAG: Gauge "hashgate_store_lag_seconds" "How long the oldest that is not written has waited; 0 if nothing waits.";
    STORE_WRITTEN_AT: Gauge "hashgate_store_last_write_timestamp_seconds"
        "When something was last written, in seconds since 1970; NaN before that.";
    STORE_BYTES: Gauge "hashgate_store_size_bytes" "Bytes that the store has in use; NaN until it was looked at.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_say_their_kind() {
        let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for Family { name, kind, help } in FAMILIES {
            assert!(name.starts_with("hashgate_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(help.ends_with('.') && !help.contains(['\\', '\n']), "{name}: {help}");
        }
    }
}
