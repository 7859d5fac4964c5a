//! Every state of a session against every event: a table to be read, and to be looked at again when it changes.

use super::*;

const CONFIGURE: &str =
    r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}"#;
const SUBSCRIBE: &str = r#"{"id":2,"method":"mining.subscribe","params":[]}"#;
const AUTHORIZE: &str = r#"{"id":3,"method":"mining.authorize","params":["farm.1","x"]}"#;
const UNKNOWN_SHARE: &str =
    r#"{"id":4,"method":"mining.submit","params":["farm.1","7fffffff","00000000","504e86b9","00000000"]}"#;
const POOL_SHARE: &str = r#"{"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}"#;

/// What a state is made of: its name, whether its route leads to a pool, and what was said and happened.
const STATES: [(&str, bool, &[&str]); 8] = [
    ("connected", true, &[]),
    ("authorized", true, &[AUTHORIZE]),
    ("subscribed", true, &[SUBSCRIBE]),
    ("both, but its route has no pool", false, &[SUBSCRIBE, AUTHORIZE]),
    ("mining", true, &[SUBSCRIBE, AUTHORIZE]),
    ("mining, and rolls", true, &[CONFIGURE, SUBSCRIBE, AUTHORIZE]),
    ("its pool is away", true, &[SUBSCRIBE, AUTHORIZE, "! A is lost"]),
    ("moved to another pool", true, &[SUBSCRIBE, AUTHORIZE, "! B takes over"]),
];

const EVENTS: [(&str, &str); 13] = [
    ("configure", CONFIGURE),
    ("subscribe", SUBSCRIBE),
    ("authorize", AUTHORIZE),
    ("a share of an unknown job", UNKNOWN_SHARE),
    ("a share for pool A", POOL_SHARE),
    ("pool A sends a job", "! A sends a job"),
    ("pool A sends a block", "! A sends a block"),
    ("pool B sends a job", "! B sends a job"),
    ("pool A is lost", "! A is lost"),
    ("pool A resumes", "! A resumes"),
    ("pool B takes over", "! B takes over"),
    ("2 s pass", "@ 2s"),
    ("50 s pass", "@ 50s"),
];

impl Talk {
    fn plays_one(&mut self, step: &str) {
        match step.split_at(2) {
            ("! ", event) => self.happens(event),
            ("@ ", time) => self.passes(humantime::parse_duration(time).expect("a duration")),
            _ => {
                let line = self.fill_in(step);
                self.says(line.as_bytes());
            }
        }
    }
}

#[test]
fn every_state_meets_every_event() {
    let mut table = String::new();
    for (state, has_pool, made_by) in STATES {
        table.push_str(&format!("{state}\n"));
        for (name, event) in EVENTS {
            let mut talk = Talk::new();
            talk.route = has_pool.then_some('A');
            made_by.iter().for_each(|step| talk.plays_one(step));
            talk.unsaid.clear();
            // Who has no job can't hash it; who has no lease is on no pool's list.
            let is_impossible = match event {
                POOL_SHARE => talk.notifies.is_empty(),
                event => event.ends_with("takes over") && talk.session.lease().is_none(),
            };
            if is_impossible {
                continue;
            }
            talk.plays_one(event);
            let outcome =
                if talk.unsaid.is_empty() { "-".to_owned() } else { Vec::from(talk.unsaid).join("\n        ") };
            table.push_str(&format!("    {name}\n        {outcome}\n"));
        }
    }
    insta::assert_snapshot!(table);
}
