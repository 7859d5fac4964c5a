//! Who mines, and how: the count of the miners, shared by all who want it, and every worker as it is now.
//!
//! ```text
//!                                     ┌─► power side        (what its machines do; asks for one when something moves)
//! workers, router ─► census ─► Counts ┴─► Workers: the live table, by name ─┬─► API: pages
//!                     (one owner)                                           └─► store: what each did in a minute
//! ```
//!
//! | file | what |
//! |---|---|
//! | `fan_out.rs` | takes the census, and hands it to everybody who wants it |
//! | `table.rs` | every worker by its name: hashrates, shares, whether it is sick |
//! | `page.rs` | what may be asked of it |
//! | `placing.rs` | which group a worker is of, and what it should hash |
//! | `together.rs` | what those of a group are together |
//! | `minute.rs` | what one did in a minute |
//! | `live.rs` | the table while the proxy runs |
//!
//! Nothing here is on a share's way: worker threads are asked once in a few seconds, and answer in a turn of theirs.

mod fan_out;
mod live;
mod minute;
mod page;
mod placing;
mod table;
mod together;

pub use fan_out::{Asker, Counts, Door, Subscription};
pub use live::{PERIOD, Workers};
pub use minute::{Minute, MinuteOf};
pub use page::{MAX_PAGE, MAX_SEARCH, Page, Query, Sort, Summary, WorkerView};
pub use placing::{Placed, Placing};
pub use table::{
    Change, ENOUGH_SHARES, FORGOTTEN_AFTER, LOW_SHARE, MAX_CHANGES, MAX_WORKERS, OFFLINE_AFTER, SETTLED_AFTER,
    STALE_SHARE, Sickness, Table, Totals, WINDOWS,
};
pub use together::Together;
