//! One look at both sides: what the proxy shows, and what the site truly does.

use std::{
    io,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    http::number,
    plant::{GLANCE, Plant},
};

/// Both sides at one moment.
pub struct Look {
    pub at: Instant,
    page: Value,
    truth: Value,
}

impl Look {
    pub fn at(plant: &Plant) -> io::Result<Self> {
        let page = plant.admin.get("/api/v1/power")?;
        Ok(Self { page, truth: plant.truth.get("/report")?, at: Instant::now() })
    }

    /// Whether all groups are in one of these phases.
    pub fn all_in(&self, phases: &[&str]) -> bool {
        let mut groups = self.page["groups"].as_array().into_iter().flatten();
        groups.all(|group| group["phase"].as_str().is_some_and(|phase| phases.contains(&phase)))
    }

    /// How many groups are in a phase.
    pub fn in_phase(&self, phase: &str) -> usize {
        let groups = self.page["groups"].as_array().into_iter().flatten();
        groups.filter(|group| group["phase"] == phase).count()
    }

    /// A number of the AI block.
    pub fn block(&self, name: &str) -> f64 {
        number(&self.page, &format!("/blocks/0/{name}"))
    }

    /// A number of the site's report.
    pub fn truth(&self, pointer: &str) -> f64 {
        number(&self.truth, pointer)
    }

    fn line(&self) -> String {
        let groups = self.page["groups"].as_array().into_iter().flatten();
        let stages = |stages: &Value| {
            let some = |(name, count): (&String, &Value)| (count != 0).then(|| format!("{count} {name}"));
            stages.as_object().into_iter().flatten().filter_map(some).collect::<Vec<_>>().join(", ")
        };
        let group = |group: &Value| {
            let (name, phase) = (group["name"].as_str().unwrap_or(""), group["phase"].as_str().unwrap_or(""));
            let waits = group["waits_for"].as_str().unwrap_or("");
            format!(
                "\n    {name} {phase}: sleep: {}; wake: {}; {waits}",
                stages(&group["sleeping"]),
                stages(&group["waking"])
            )
        };
        format!(
            "{:.2} MW true, {} mining, {} asleep, lent {:.1} MW{}",
            self.truth("/watts") / 1e6,
            self.truth("/mining"),
            self.truth("/asleep"),
            self.block("granted_kw") / 1e3,
            groups.map(group).collect::<String>()
        )
    }
}

/// Looks until it is so; fails with what is seen when it is not in time.
pub fn until(plant: &Plant, what: &str, patience: Duration, is_so: impl Fn(&Look) -> bool) -> io::Result<Look> {
    let deadline = Instant::now() + patience;
    let mut said = Instant::now();
    loop {
        let look = Look::at(plant)?;
        if is_so(&look) {
            return Ok(look);
        }
        if Instant::now() >= deadline {
            let log = plant.proxy.said();
            let tail = log.len().saturating_sub(30);
            let line = look.line();
            return Err(io::Error::other(format!(
                "not within {patience:?}: {what}\n{line}\n{}",
                log[tail..].join("\n")
            )));
        }
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            eprintln!("{what}: {}", look.line().lines().next().unwrap_or_default());
        }
        sleep(GLANCE);
    }
}
