//! What the workers of each power group are together.

use std::{collections::HashMap, sync::Arc};

use super::table::Table;
use crate::work::Hashrate;

/// The workers of one power group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Together {
    /// Connected.
    pub online: usize,
    /// What their connections are estimated to hash.
    pub estimate: Hashrate,
}

impl Table {
    /// By the name of the group; groups of nobody are left out.
    pub fn by_group(&self) -> HashMap<Arc<str>, Together> {
        let mut groups: HashMap<Arc<str>, Together> = HashMap::new();
        for worker in self.iter().filter(|worker| worker.is_online()) {
            let Some(name) = self.placing().group(worker.placed) else { continue };
            let group = match groups.get_mut(name) {
                Some(group) => group,
                None => groups.entry(name.clone()).or_default(),
            };
            group.online += 1;
            group.estimate += worker.estimate;
        }
        groups
    }
}
