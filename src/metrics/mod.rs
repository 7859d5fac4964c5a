//! Every number that leaves the program: counted in [`books`](Books), named in `exporter.rs` and `profit.rs`.

mod books;
mod exporter;
mod profit;

pub use books::{
    Books, Counter, LATENCY_BOUNDS_US, Latencies, LatencyBucket, LatencySum, PoolBook, Refusal, RouterBook, Sum,
    Totals, WorkerBook,
};
pub use exporter::Exporter;
pub use profit::ProfitMetrics;
