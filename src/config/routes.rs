//! Routes as the file has them, and what they must be to listeners and pools for every miner to have one.
//! Decides nothing about live pools: that is failover's.
//!
//! Routes are tried in file order, the first that takes the miner wins. So that no miner stands without
//! a pool and no line of the file is there for nothing:
//!
//! | the file has                                        | then    |
//! |-----------------------------------------------------|---------|
//! | no route                                            | one, `default`, over all pools in file order |
//! | a listener without a route that takes everyone      | error   |
//! | a route whose miners an earlier route takes already | error   |
//! | a pool in no route                                  | warning |
//! | a route with real pools and a simulated one         | warning |

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use wildmatch::WildMatch;

use super::{
    Pool, PoolUrl, Route,
    error::{Wrong, shown},
    raw::{Section, nearest},
    user::MAX_USER_BYTES,
    value,
};

/// A pattern of user names: `*` for any run of characters, `?` for any one.
#[derive(Debug, Clone, PartialEq)]
pub struct UserPattern(WildMatch);

impl UserPattern {
    /// Whether a miner's user name fits.
    pub fn matches(&self, user: &str) -> bool {
        self.0.matches(user)
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.pattern())
    }
}

impl Route {
    /// Whether the route takes a miner that came to this listener (an index) from this address with this user
    /// name. An IPv4 address is one even where a socket reports it as `::ffff:10.0.0.1`.
    pub fn takes(&self, listener: usize, address: IpAddr, user: &str) -> bool {
        let address = address.to_canonical();
        self.serves(listener)
            && (self.subnets.is_empty() || self.subnets.iter().any(|subnet| subnet.contains(&address)))
            && self.user.as_ref().is_none_or(|pattern| pattern.matches(user))
    }

    /// Whether the route is for miners of this listener (an index) at all.
    pub fn serves(&self, listener: usize) -> bool {
        self.listeners.is_empty() || self.listeners.contains(&listener)
    }

    /// Whether the route takes every miner of its listeners.
    fn takes_everyone(&self) -> bool {
        self.subnets.is_empty() && self.user.is_none()
    }

    /// Whether every miner that `later` takes on a listener both serve is taken here. Patterns are compared as
    /// text, so a pattern inside another goes unnoticed: that costs a warning, never a miner.
    fn hides(&self, later: &Route) -> bool {
        let subnets = self.subnets.is_empty()
            || !later.subnets.is_empty()
                && later.subnets.iter().all(|inner| self.subnets.iter().any(|outer| outer.contains(inner)));
        subnets && (self.user.is_none() || self.user == later.user)
    }
}

/// What routes refer to.
pub(super) struct Places<'p, 'r, 't> {
    pub listeners: &'p [Section<'r, 't>],
    pub listener_names: &'p [Arc<str>],
    pub pools: &'p [Section<'r, 't>],
    pub pool_names: &'p [Arc<str>],
}

/// All routes of the file, in order.
pub(super) fn read(sections: &mut [Section<'_, '_>], names: &[Arc<str>], places: &Places<'_, '_, '_>) -> Vec<Route> {
    let fail_back_after = Duration::from_secs(120);
    if sections.is_empty() {
        let pools = (0..places.pool_names.len()).collect();
        return vec![Route {
            name: "default".into(),
            listeners: Vec::new(),
            subnets: Vec::new(),
            user: None,
            pools,
            fail_back_after,
        }];
    }
    let mut complete = true;
    let mut routes = Vec::new();
    for (section, name) in sections.iter_mut().zip(names) {
        let before = section.error_count();
        let route = Route {
            name: name.clone(),
            listeners: section.or("listeners", Vec::new(), |value| {
                indexes(value::strings(value)?, "listener", places.listener_names)
            }),
            subnets: section.or("subnets", Vec::new(), |value| subnets(value::strings(value)?)),
            user: section.optional("user", value::parsed("\"account.*\"", pattern)).flatten(),
            pools: section
                .required("pools", "write pools = [\"name\", \"name\"], in failover order", |value| {
                    indexes(value::strings(value)?, "pool", places.pool_names)
                })
                .unwrap_or_default(),
            fail_back_after: section.or(
                "fail_back_after",
                fail_back_after,
                value::duration(Duration::ZERO..=Duration::from_secs(24 * 3600)),
            ),
        };
        section.refuse_unknown_keys();
        complete &= section.error_count() == before;
        routes.push(route);
    }
    // A route that was misread would make others look hidden or missing.
    if complete {
        refuse_hidden(sections, &routes, places.listener_names.len());
        refuse_gaps(&routes, places);
        warn_of_unused_pools(&routes, places);
    }
    routes
}

/// A failover from a real pool to the simulated one would look like mining.
pub(super) fn warn_of_mixed_simulation(sections: &[Section<'_, '_>], routes: &[Route], pools: &[Pool]) {
    let is_simulated = |index: usize| matches!(pools[index].url, PoolUrl::Simulated(_));
    for (simulated, section) in sections.iter().enumerate().filter(|(index, _)| is_simulated(*index)) {
        let mixes =
            |route: &&Route| route.pools.contains(&simulated) && !route.pools.iter().all(|index| is_simulated(*index));
        if let Some(route) = routes.iter().find(mixes) {
            let what = format!(
                "route \"{}\" has real pools too: miners would hash for nothing while this one serves them",
                route.name
            );
            section.warn("url", Wrong::new(what, "leave the simulated pool out of that route"));
        }
    }
}

fn refuse_hidden(sections: &[Section<'_, '_>], routes: &[Route], listeners: usize) {
    for (position, route) in routes.iter().enumerate() {
        let earlier = &routes[..position];
        let hiding = |listener: usize| earlier.iter().find(|other| other.serves(listener) && other.hides(route));
        let hidden: Vec<Option<&Route>> =
            (0..listeners).filter(|listener| route.serves(*listener)).map(hiding).collect();
        if let [Some(by), ..] = hidden[..]
            && hidden.iter().all(Option::is_some)
        {
            sections[position].error(
                "",
                Wrong::new(
                    format!("no miner gets here: route \"{}\" above takes them all", by.name),
                    "move it up, or drop it",
                ),
            );
        }
    }
}

fn refuse_gaps(routes: &[Route], places: &Places<'_, '_, '_>) {
    for (listener, section) in places.listeners.iter().enumerate() {
        if !routes.iter().any(|route| route.serves(listener) && route.takes_everyone()) {
            section.error(
                "",
                Wrong::new(
                    "its miners that fit no route would have no pool",
                    "add a last [[route]] without subnets and user",
                ),
            );
        }
    }
}

fn warn_of_unused_pools(routes: &[Route], places: &Places<'_, '_, '_>) {
    for (pool, section) in places.pools.iter().enumerate() {
        if !routes.iter().any(|route| route.pools.contains(&pool)) {
            section.warn("", Wrong::new("no route leads to it", "name it in a route's pools, or drop it"));
        }
    }
}

/// Names to their indexes. All unknown names are told at once.
fn indexes(wanted: Vec<String>, kind: &str, known: &[Arc<str>]) -> Result<Vec<usize>, Wrong> {
    if wanted.is_empty() {
        return Err(Wrong::new("is empty", format!("name at least one {kind}")));
    }
    let known: Vec<&str> = known.iter().map(|name| &**name).collect();
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for name in &wanted {
        match known.iter().position(|known| known == name) {
            Some(index) if found.contains(&index) => {
                return Err(Wrong::new(format!("{} is named twice", shown(name)), "name it once"));
            }
            Some(index) => found.push(index),
            None => unknown.push(name),
        }
    }
    let Some(first) = unknown.first() else {
        return Ok(found);
    };
    let names: Vec<String> = unknown.iter().map(|name| shown(name)).collect();
    let help = match nearest(first, &known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => format!("there is no {kind} yet"),
        None => format!("there are: {}", known.join(", ")),
    };
    Err(Wrong::new(format!("no {kind} has the name {}", names.join(" or ")), help))
}

/// Networks of which none need be named. Everything named in two halves is everything.
fn subnets(texts: Vec<String>) -> Result<Vec<IpNet>, Wrong> {
    if texts.is_empty() {
        return Err(Wrong::new("is empty", "leave the key out to take every network"));
    }
    let mut subnets = networks(&texts)?;
    let everything =
        |ipv4: bool| subnets.iter().any(|subnet| subnet.prefix_len() == 0 && subnet.addr().is_ipv4() == ipv4);
    if everything(true) && everything(false) {
        subnets.clear();
    }
    Ok(subnets)
}

/// Networks; a lone address is a network of one.
pub(super) fn networks(texts: &[String]) -> Result<Vec<IpNet>, Wrong> {
    const HELP: &str = "write networks: [\"10.1.0.0/16\", \"fd00::/8\"]";
    let mut subnets = Vec::new();
    for text in texts {
        let subnet: IpNet = text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| Wrong::new(format!("{} is not a network", shown(text)), HELP))?;
        if subnet != subnet.trunc() {
            return Err(Wrong::new(
                format!("{} has bits behind its prefix", shown(text)),
                format!("write \"{}\"", subnet.trunc()),
            ));
        }
        subnets.push(subnet);
    }
    Ok(subnets)
}

/// A pattern; `None` for one that takes every name.
fn pattern(text: &str) -> Result<Option<UserPattern>, Wrong> {
    users(text).map(|pattern| Some(pattern).filter(|pattern| pattern.0.pattern() != "*"))
}

/// A pattern, even one that takes every name.
pub(super) fn users(text: &str) -> Result<UserPattern, Wrong> {
    if text.is_empty() || text.len() > MAX_USER_BYTES {
        return Err(Wrong::new(
            format!("is {} bytes long", text.len()),
            format!("write 1 to {MAX_USER_BYTES} bytes: \"account.*\""),
        ));
    }
    Ok(UserPattern(WildMatch::new(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::config::{Config, Problem, Warning, validate::tests::NoEnv};

    const PLACES: &str = r#"
[[listener]]
name = "farm"
listen = "127.0.0.1:3333"
[[listener]]
name = "guests"
listen = "127.0.0.1:3334"
[[pool]]
name = "eu"
url = "stratum+tcp://eu.example:3333"
user = "a"
[[pool]]
name = "us"
url = "stratum+tcp://us.example:3333"
user = "a"
"#;

    fn parse(routes: &str) -> Result<(Config, Vec<Warning>), Vec<String>> {
        Config::parse(&format!("{PLACES}{routes}"), &NoEnv).map_err(|errors| {
            errors
                .problems()
                .iter()
                .map(|Problem { key, what, help, .. }| format!("{}: {what}; {help}", key.clone().unwrap_or_default()))
                .collect()
        })
    }

    #[test]
    fn without_routes_everyone_mines_for_all_pools_in_file_order() {
        let (config, warnings) = parse("").unwrap();
        assert_eq!(warnings, []);
        assert_eq!((&*config.routes[0].name, &config.routes[0].pools[..]), ("default", &[0, 1][..]));
    }

    #[test]
    fn names_that_lead_nowhere_are_told_with_those_that_exist() {
        let errors = parse("[[route]]\nlisteners = [\"fram\"]\npools = [\"asia\", \"africa\"]\n").unwrap_err();
        assert_eq!(
            errors,
            [
                "route[1].listeners: no listener has the name \"fram\"; did you mean \"farm\"?",
                "route[1].pools: no pool has the name \"asia\" or \"africa\"; there are: eu, us",
            ]
        );
    }

    #[test]
    fn a_route_behind_one_that_takes_everyone_is_refused() {
        let errors = parse("[[route]]\nname = \"all\"\npools = [\"eu\"]\n[[route]]\nname = \"late\"\nuser = \"a.*\"\npools = [\"us\"]\n").unwrap_err();
        assert_eq!(
            errors,
            ["route \"late\": no miner gets here: route \"all\" above takes them all; move it up, or drop it"]
        );
        let errors = parse(
            "[[route]]\nname = \"wide\"\nsubnets = [\"10.0.0.0/8\"]\npools = [\"eu\"]\n[[route]]\nname = \"narrow\"\nsubnets = [\"10.1.0.0/16\"]\npools = [\"us\"]\n[[route]]\npools = [\"us\"]\n",
        )
        .unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("route \"narrow\": no miner gets here"));
    }

    #[test]
    fn a_route_hidden_on_one_listener_alone_is_welcome() {
        parse("[[route]]\nlisteners = [\"farm\"]\npools = [\"eu\"]\n[[route]]\npools = [\"us\"]\n").unwrap();
    }

    #[test]
    fn a_listener_whose_miners_could_fit_no_route_is_refused() {
        let errors = parse("[[route]]\nlisteners = [\"farm\"]\npools = [\"eu\", \"us\"]\n").unwrap_err();
        assert_eq!(
            errors,
            [
                "listener \"guests\": its miners that fit no route would have no pool; add a last [[route]] without subnets and user"
            ]
        );
    }

    #[test]
    fn patterns_that_take_everything_are_no_patterns() {
        let (config, _) =
            parse("[[route]]\nuser = \"**\"\nsubnets = [\"0.0.0.0/0\", \"::/0\"]\npools = [\"eu\", \"us\"]\n").unwrap();
        assert!(config.routes[0].takes_everyone());
    }

    #[test]
    fn a_pool_in_no_route_is_a_warning() {
        let (_, warnings) = parse("[[route]]\npools = [\"eu\"]\n").unwrap();
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].0.key.as_deref(), Some("pool \"us\""));
    }

    #[test]
    fn a_simulated_pool_beside_real_ones_is_a_warning() {
        let (_, warnings) = parse("[[pool]]\nname = \"sim\"\nurl = \"sim://\"\nuser = \"a\"\n").unwrap();
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].to_string().contains("pool \"sim\".url: route \"default\" has real pools too"),
            "{}",
            warnings[0]
        );
    }

    #[test]
    fn networks_have_no_bits_behind_their_prefix() {
        let errors = parse("[[route]]\nsubnets = [\"10.0.0.5/8\"]\npools = [\"eu\"]\n").unwrap_err();
        assert_eq!(errors, ["route[1].subnets: \"10.0.0.5/8\" has bits behind its prefix; write \"10.0.0.0/8\""]);
    }

    /// A route over a small world, so that routes often meet.
    fn route_text() -> impl Strategy<Value = String> {
        let listeners = prop_oneof![Just(""), Just("listeners = [\"farm\"]\n"), Just("listeners = [\"guests\"]\n")];
        let subnets =
            prop_oneof![Just(""), Just("subnets = [\"10.0.0.0/8\"]\n"), Just("subnets = [\"10.1.0.0/16\", \"::1\"]\n")];
        let user = prop_oneof![Just(""), Just("user = \"a.*\"\n"), Just("user = \"b\"\n")];
        (listeners, subnets, user)
            .prop_map(|(listeners, subnets, user)| format!("[[route]]\npools = [\"eu\"]\n{listeners}{subnets}{user}"))
    }

    proptest! {
        #[test]
        fn accepted_routes_leave_no_miner_without_a_pool_and_no_route_without_miners(texts in prop::collection::vec(route_text(), 1..5)) {
            let Ok((config, _)) = parse(&texts.concat()) else { return Ok(()) };
            let mut reached = vec![false; config.routes.len()];
            for listener in 0..2 {
                for address in ["10.1.2.3", "10.2.0.1", "192.0.2.1", "::1", "::ffff:10.1.0.1"] {
                    for user in ["a.1", "b", "c"] {
                        let address = address.parse().unwrap();
                        let first = config.routes.iter().position(|route| route.takes(listener, address, user));
                        prop_assert!(first.is_some());
                        reached[first.unwrap()] = true;
                    }
                }
            }
            // Two routes may together hide a third; one alone may not.
            for (position, route) in config.routes.iter().enumerate() {
                let hidden_by_one = config.routes[..position].iter().any(|other| other.listeners.is_empty() && other.takes_everyone());
                prop_assert!(reached[position] || !hidden_by_one, "{route:?}");
            }
        }
    }
}
