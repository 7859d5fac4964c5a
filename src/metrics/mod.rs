//! Every number that leaves the program: counted in [`books`](Books), named in `names.rs`, filled in when somebody scrapes (`exporter.rs`,
//! `profit.rs`, `power.rs`, `store.rs`), written in `text.rs`.

mod books;
mod exporter;
mod names;
mod power;
mod profit;
mod store;
mod text;

pub use books::{
    Books, Counter, LATENCY_BOUNDS_US, LaneBook, Latencies, LatencyBucket, LatencySum, PoolBook, PoolLoss, Refusal,
    RouterBook, Sum, Totals, WorkerBook,
};
pub use exporter::{Exporter, MAX_SERIES_OF_MINERS};
pub use names::{FAMILIES, Family, Kind};
pub use profit::ProfitMetrics;
