//! `jobs`: difficulty, subsidy and fees, out of the jobs that pools send us anyway.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Feed;
use crate::{
    config::JobsField,
    profit::{
        signal::{Observation, Refusal, When},
        templates::Templates,
    },
    router::TappedJob,
    work::Template,
};

/// One signal that jobs feed.
#[derive(Debug)]
pub struct JobFeed {
    /// What of a job.
    pub field: JobsField,
    /// Whose jobs; `None` for all.
    pub pool: Option<usize>,
    /// Its way into the book.
    pub feed: Feed,
}

/// Listens until the router ends, for those that want to know of jobs then; looks into none while nobody does.
pub async fn run(mut jobs: mpsc::Receiver<TappedJob>, feeds: watch::Receiver<Arc<[JobFeed]>>) {
    // One pool's fees are not the next one's: what a block of theirs is worth differs.
    let mut by_pool: Vec<Templates> = Vec::new();
    let mut all = Templates::default();
    while let Some(TappedJob { pool, job, extranonce2_size }) = jobs.recv().await {
        let feeds = feeds.borrow().clone();
        if feeds.is_empty() {
            continue;
        }
        let template = Template::of(&job, extranonce2_size);
        // Pools come while it runs, so many as there are places for.
        if pool >= by_pool.len() {
            by_pool.resize_with(pool + 1, Templates::default);
        }
        let own = &mut by_pool[pool];
        if let Some(template) = &template {
            own.add(template);
            all.add(template);
        }
        for JobFeed { field, pool: wanted, feed } in feeds.iter() {
            if wanted.is_some_and(|wanted| wanted != pool) {
                continue;
            }
            let known = if wanted.is_some() { &*own } else { &all };
            let value = match field {
                JobsField::Difficulty => Some(job.network_target.difficulty().get()),
                JobsField::Reward => known.reward(),
                JobsField::Subsidy => known.subsidy(),
                JobsField::Fees => known.fees(),
            };
            // The book keeps a refusal for people to see, and counts it.
            let _ = match value {
                Some(value) => feed.observe(vec![Observation { value, when: When::Now }]).await,
                // Only empty templates so far: a block was just found.
                None if template.is_some() => continue,
                None => {
                    feed.say(Err(Refusal::Unreadable("the coinbase of the pool's job can't be read".to_owned()))).await
                }
            };
        }
    }
}
