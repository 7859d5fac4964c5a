//! Where each pool, route and listener stays while the config around it changes.
//!
//! Books, miners and pool connections know these three by their position. So a position is given once: what a new config no longer has
//! keeps its place, what it adds is put behind, and what comes back under its old name finds its place again.
//!
//! ```text
//! file      a b c    ──►    c d           (b and a removed, d added, c first now)
//! places    a b c    ──►    a b c d       routes tried in the order c d; a and b are there, and for nobody
//! ```
//! Knows names; knows nothing of what is connected. Limit: [`MAX_PLACES`] of each kind in the life of a process; of signals, groups and AI
//! blocks as well, as what is counted of them is kept by their names.

use std::{net::IpAddr, sync::Arc};

use super::{Config, Route};

/// Pools, routes, listeners, signals, groups or AI blocks by different names in the life of a process: four times those of the largest config. Each worker has 16 bytes
/// for each route, whether it is there or not.
pub const MAX_PLACES: usize = 1024;

/// The config as the running proxy has it.
#[derive(Debug, Clone)]
pub struct Places {
    /// Every pool, route and listener that there ever was, each at its place; the last known settings of those that are gone.
    pub config: Arc<Config>,
    /// Places of the pools that there are, in the order of the file.
    pub pools: Vec<usize>,
    /// Places of the routes that there are, in the order in which they are tried; never empty.
    pub routes: Vec<usize>,
    /// Places of the listeners that there are.
    pub listeners: Vec<usize>,
    /// Names of the signals, groups and AI blocks that there ever were: they have no places, but counts that go on should they come back.
    known: [Vec<Arc<str>>; 3],
}

/// So many of a kind have come and gone that there is no place for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MAX_PLACES} {kind}s by different names were there since the start: restart to begin anew, or use a name again"
)]
pub struct NoPlace {
    kind: &'static str,
}

impl Places {
    /// Those of a start: as in the file.
    pub fn first(config: Arc<Config>) -> Self {
        let (pools, routes) = ((0..config.pools.len()).collect(), (0..config.routes.len()).collect());
        let listeners = (0..config.listeners.len()).collect();
        let known = names(&config);
        Self { config, pools, routes, listeners, known }
    }

    /// Those after this config came. What was there before is where it was.
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn next(&self, new: &Config) -> Result<Self, NoPlace> {
        let Config { routes, listeners, pools, .. } = (*self.config).clone();
        let mut pools = Kind { kind: "pool", all: pools };
        let mut listeners = Kind { kind: "listener", all: listeners };
        let mut routes = Kind { kind: "route", all: routes };
        let mut pool_places = Vec::new();
        for pool in &new.pools {
            pool_places.push(pools.put(pool.clone(), |pool| &pool.name)?);
        }
        let mut listener_places = Vec::new();
        for listener in &new.listeners {
            listener_places.push(listeners.put(listener.clone(), |listener| &listener.name)?);
        }
        let mut route_places = Vec::new();
        for route in &new.routes {
            let at = |places: &[usize], indexes: &[usize]| indexes.iter().map(|index| places[*index]).collect();
            let pools = at(&pool_places, &route.pools);
            let placed = Route { pools, listeners: at(&listener_places, &route.listeners), ..route.clone() };
            route_places.push(routes.put(placed, |route| &route.name)?);
        }
        let mut known = self.known.clone();
        for ((kind, all), new) in ["signal", "group", "AI block"].into_iter().zip(&mut known).zip(names(new)) {
            let mut names = Kind { kind, all: std::mem::take(all) };
            for name in new {
                names.put(name, |name| name)?;
            }
            *all = names.all;
        }
        let config = Config { pools: pools.all, listeners: listeners.all, routes: routes.all, ..new.clone() };
        Ok(Self {
            config: Arc::new(config),
            pools: pool_places,
            routes: route_places,
            listeners: listener_places,
            known,
        })
    }

    /// The routes that there are, each with its place, in the order in which they are tried.
    pub fn routes(&self) -> impl Iterator<Item = (usize, &Route)> {
        self.routes.iter().map(|place| (*place, &self.config.routes[*place]))
    }

    /// Whether any route leads to a pool.
    pub fn is_routed(&self, pool: usize) -> bool {
        self.routes().any(|(_, route)| route.pools.contains(&pool))
    }

    /// The route of a miner that came to a listener from an address with a user name. The config guarantees that there is one for every
    /// listener that there is; who came by one that is gone, and fits nowhere, goes to the last, which takes everyone of some listener.
    pub fn route_of(&self, listener: usize, address: IpAddr, user: &str) -> usize {
        let found = self.routes().find(|(_, route)| route.takes(listener, address, user));
        found.map(|(place, _)| place).or(self.routes.last().copied()).unwrap_or(0)
    }
}

/// Of signals, groups and AI blocks.
fn names(config: &Config) -> [Vec<Arc<str>>; 3] {
    let profit = config.profit.as_ref();
    [
        config.signals.iter().map(|signal| signal.name.clone()).collect(),
        profit.iter().flat_map(|profit| &profit.groups).map(|group| group.name.clone()).collect(),
        profit.iter().flat_map(|profit| &profit.ai).map(|ai| ai.name.clone()).collect(),
    ]
}

/// Pools, routes or listeners; or names of what has none.
struct Kind<T> {
    kind: &'static str,
    all: Vec<T>,
}

impl<T> Kind<T> {
    /// Puts one at its place, or behind all.
    fn put(&mut self, one: T, name: impl Fn(&T) -> &Arc<str>) -> Result<usize, NoPlace> {
        if let Some(place) = self.all.iter().position(|other| name(other) == name(&one)) {
            self.all[place] = one;
            return Ok(place);
        }
        if self.all.len() >= MAX_PLACES {
            return Err(NoPlace { kind: self.kind });
        }
        self.all.push(one);
        Ok(self.all.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};

    use super::*;
    use crate::config::validate::tests::NoEnv;

    /// A config with these pools, and a route to all of them for each name.
    fn config(pools: &[&str], routes: &[&str]) -> Config {
        let mut text = "[[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:0\"\n".to_owned();
        for pool in pools {
            text +=
                &format!("[[pool]]\nname = \"{pool}\"\nurl = \"stratum+tcp://{pool}.example:3333\"\nuser = \"u\"\n");
        }
        for (at, route) in routes.iter().enumerate() {
            let user = if at + 1 < routes.len() { format!("user = \"{route}.*\"\n") } else { String::new() };
            text += &format!("[[route]]\nname = \"{route}\"\n{user}pools = {pools:?}\n");
        }
        Config::parse(&text, &NoEnv).unwrap().0
    }

    fn names(places: &Places) -> (Vec<&str>, Vec<&str>) {
        let pools = places.config.pools.iter().map(|pool| &*pool.name).collect();
        (pools, places.routes().map(|(_, route)| &*route.name).collect())
    }

    #[test]
    fn what_stays_stays_where_it_is_whatever_comes_and_goes() {
        let first = Places::first(Arc::new(config(&["a", "b", "c"], &["x", "y"])));
        let next = first.next(&config(&["c", "d"], &["y", "z"])).unwrap();
        assert_eq!(names(&next), (vec!["a", "b", "c", "d"], vec!["y", "z"]));
        assert_eq!((&next.pools[..], &next.routes[..]), (&[2, 3][..], &[1, 2][..]));
        assert_eq!(next.config.routes[2].pools, [2, 3], "by their places");
        assert!(next.is_routed(2) && !next.is_routed(0));
        let back = next.next(&config(&["b"], &["x"])).unwrap();
        assert_eq!(names(&back), (vec!["a", "b", "c", "d"], vec!["x"]));
        assert_eq!((back.routes.clone(), back.config.routes[0].pools.clone()), (vec![0], vec![1]));
    }

    /// A config without places: everything by its name.
    type ByName = Vec<(Arc<str>, Vec<Arc<str>>, Vec<Arc<str>>)>;

    fn by_name<'c>(config: &Config, routes: impl Iterator<Item = &'c Route>) -> ByName {
        let pools = |route: &Route| route.pools.iter().map(|pool| config.pools[*pool].name.clone()).collect();
        let listeners = |route: &Route| route.listeners.iter().map(|at| config.listeners[*at].name.clone()).collect();
        routes.map(|route| (route.name.clone(), listeners(route), pools(route))).collect()
    }

    proptest! {
        /// Whatever came and went before: what is in force is what a fresh start would have, but for places.
        #[test]
        fn any_way_to_a_config_ends_like_a_start_with_it(
            steps in proptest::collection::vec((subsequence(vec!["a", "b", "c", "d"], 1..=4), subsequence(vec!["x", "y", "z"], 1..=3)), 1..6),
        ) {
            let mut places: Option<Places> = None;
            for (pools, routes) in steps {
                let file = config(&pools, &routes);
                let next = match &places {
                    None => Places::first(Arc::new(file.clone())),
                    Some(places) => places.next(&file).unwrap(),
                };
                let placed = by_name(&next.config, next.routes().map(|(_, route)| route));
                prop_assert_eq!(placed, by_name(&file, file.routes.iter()));
                for pool in &file.pools {
                    prop_assert!(next.config.pools.contains(pool));
                }
                if let Some(before) = &places {
                    for (place, pool) in before.config.pools.iter().enumerate() {
                        prop_assert_eq!(&next.config.pools[place].name, &pool.name);
                    }
                }
                places = Some(next);
            }
        }
    }

    #[test]
    fn miners_of_a_listener_that_is_gone_still_have_a_route() {
        let first = Places::first(Arc::new(config(&["a"], &["x", "y"])));
        let address = IpAddr::from([10, 0, 0, 1]);
        assert_eq!((first.route_of(0, address, "x.1"), first.route_of(0, address, "z")), (0, 1));
        assert_eq!(first.route_of(7, address, "z"), 1);
    }

    #[test]
    fn names_that_never_come_back_do_not_grow_for_ever() {
        let mut places = Places::first(Arc::new(config(&["a"], &["x"])));
        for round in 0..MAX_PLACES - 1 {
            places = places.next(&config(&[&format!("p{round}")], &["x"])).unwrap();
        }
        let refused = places.next(&config(&["one-more"], &["x"])).unwrap_err().to_string();
        assert!(refused.starts_with("1024 pools by different names"), "{refused}");
        assert!(places.next(&config(&["a"], &["x"])).is_ok(), "a known name has its place");
    }

    #[test]
    fn names_that_only_counts_are_kept_by_do_not_grow_for_ever_either() {
        let with = |group: &str| {
            let text = format!(
                "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[[group]]\nname = \"{group}\"\nsignal = \"v\"\n\
                 [[signal]]\nname = \"v\"\nkind = \"push\"\nunit = \"verdict\"\n"
            );
            Config::parse(&text, &NoEnv).unwrap().0
        };
        let mut places = Places::first(Arc::new(with("first")));
        for round in 1..MAX_PLACES {
            places = places.next(&with(&format!("g{round}"))).unwrap();
        }
        let refused = places.next(&with("one-more")).unwrap_err().to_string();
        assert!(refused.starts_with("1024 groups by different names"), "{refused}");
        assert!(places.next(&with("first")).is_ok());
    }
}
