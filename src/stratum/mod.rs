//! Stratum V1 as bytes and as values: lines, requests, notifies, the reply forms of pools.
//!
//! Knows the wire; knows nothing of what a message leads to. There is no official specification: what is accepted here was read
//! from miners' firmware, pools and proxies, and each form names its source.
//!
//! | file | what |
//! |---|---|
//! | `line.rs` | framing: one JSON object per line, with a limit |
//! | `frame.rs` | one line taken apart: id, method, params, result, error, ids kept verbatim |
//! | `request.rs` | what miners ask of us, with every variant form |
//! | `submit.rs` | `mining.submit` in its usual shape, in one pass |
//! | `digits.rs` | short hex numbers |
//! | `response.rs` | what we write to miners |
//! | `notify.rs` | `mining.notify`, both ways |
//! | `pool.rs` | what pools say to us: subscribe and configure answers, six forms of share replies, notifications |

mod digits;
mod frame;
mod line;
mod notify;
mod pool;
mod request;
mod response;
mod submit;

pub use frame::{Frame, FrameError, RawId};
pub use line::{LineTooLong, Lines};
pub use notify::{Notify, NotifyError, VersionDialect};
pub use pool::{ConfigureAnswer, PoolError, PoolMessage, SubscribeAnswer, share_reply};
pub use request::{Configure, Extension, Request, RequestError};
pub use response::Response;
pub use submit::Submit;

pub(crate) use digits::{hex_bytes, hex_u32};

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::notify::tests::notify_bf;
}
