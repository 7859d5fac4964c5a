//! The router's way to a worker thread, which sleeps in the kernel until a socket or a letter wakes it.
//!
//! Limit: the capacity of the queue; the router waits while it is full, after it has rung.

use std::{io, sync::Arc};

use mio::{Poll, Waker};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::Place;
use crate::router::ToWorker;

/// The router's end.
#[derive(Debug)]
pub struct Postbox {
    queue: mpsc::Sender<ToWorker>,
    bell: Arc<Waker>,
    /// Something was put in since the bell was last rung.
    is_unheard: bool,
}

/// The worker's end.
#[derive(Debug)]
pub struct Mailbox {
    pub(super) poll: Poll,
    pub(super) queue: mpsc::Receiver<ToWorker>,
}

/// The two ends for one worker; so many messages may wait.
///
/// # Errors
/// The system has no room for one more poll.
pub fn mailbox(capacity: usize) -> io::Result<(Postbox, Mailbox)> {
    let poll = Poll::new()?;
    let bell = Arc::new(Waker::new(poll.registry(), Place::Mailbox.token())?);
    let (sender, queue) = mpsc::channel(capacity);
    Ok((Postbox { queue: sender, bell, is_unheard: false }, Mailbox { poll, queue }))
}

impl Postbox {
    /// Puts a message in; [`ring`](Self::ring) makes the worker look. Waits while the queue is full. A worker that has ended needs
    /// to hear nothing.
    pub async fn send(&mut self, message: ToWorker) {
        self.is_unheard = true;
        if let Err(TrySendError::Full(message)) = self.queue.try_send(message) {
            self.ring();
            let _ = self.queue.send(message).await;
            self.is_unheard = true;
        }
    }

    /// Wakes the worker, if there is something new for it: a system call for any number of messages.
    pub fn ring(&mut self) {
        if std::mem::take(&mut self.is_unheard)
            && let Err(error) = self.bell.wake()
        {
            // Its tick finds the message a quarter of a second later.
            tracing::warn!("a worker thread could not be woken: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::Events;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_wakes_the_worker_before_the_router_waits() {
        let (mut postbox, Mailbox { mut poll, mut queue }) = mailbox(1).unwrap();
        let worker = std::thread::spawn(move || {
            let mut events = Events::with_capacity(1);
            let mut heard = 0;
            while heard < 3 {
                poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
                assert!(!events.is_empty(), "never woken");
                while queue.try_recv().is_ok() {
                    heard += 1;
                }
            }
        });
        for _ in 0..3 {
            postbox.send(ToWorker::StopAccepting).await;
        }
        postbox.ring();
        tokio::task::spawn_blocking(|| worker.join().unwrap()).await.unwrap();
    }
}
