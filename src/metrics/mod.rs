//! Every number that leaves the program: counted in [`books`](Books), named in `exporter.rs`, `profit.rs` and `power.rs`.

mod books;
mod exporter;
mod gone;
mod power;
mod profit;

pub use books::{
    Books, Counter, LATENCY_BOUNDS_US, LaneBook, Latencies, LatencyBucket, LatencySum, PoolBook, PoolLoss, Refusal,
    RouterBook, Sum, Totals, WorkerBook,
};
pub use exporter::Exporter;
pub use profit::ProfitMetrics;
