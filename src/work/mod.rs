//! What is mined and when it counts: jobs, the work made from them, shares, targets.
//!
//! Knows the arithmetic of Stratum work; knows nothing of sockets, clocks, pools' health or money.
//!
//! | noun | file |
//! |---|---|
//! | difficulty, target, hashrate | `difficulty.rs` |
//! | a pool's job, and the work that miners get from it | `job.rs` |
//! | the bounded window of jobs one miner may still submit for | `window.rs` |
//! | shares hashed together, of one miner or of several | `batch.rs` |
//! | what a job says of the block it is for: height, payment | `template.rs` |
//! | the share check: `Submission` → `ValidShare`, `PoolShare` or `Reject` | `share.rs` |

mod batch;
mod difficulty;
mod job;
mod share;
mod template;
mod window;

pub use batch::{HashBatch, NoRoom};
pub use difficulty::{BlockHash, Difficulty, HASHES_PER_DIFFICULTY, Hashrate, Target};
pub use job::{
    Extranonce, Job, JobError, JobId, JobIds, MAX_BATCH, MAX_BRANCHES, MAX_EXTRANONCE, MAX_SERIES, Split, UpstreamId,
    Work, WorkSeries,
};
pub use share::{Judge, Judged, NTIME_AHEAD, PoolShare, Reject, Submission, SubmittedVersion, ValidShare};
pub use template::Template;
pub use window::{JobWindow, LiveJob, MAX_LIVE_JOBS, MAX_SEEN, Terms};
