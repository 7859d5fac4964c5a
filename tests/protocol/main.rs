//! The proxy keeps to the protocol on both sides: a recorded conversation, and every firmware.

mod firmware;
mod golden;

use std::time::Duration;

use hashgate::{
    app::Proxy,
    config::{Config, ProcessEnv},
};

/// How long anything may take; reached only when a test fails.
const LIMIT: Duration = Duration::from_secs(20);

/// A proxy before one pool, as an operator would write it. `listener` and `pool` are further lines of their sections.
async fn proxy_before(pool_address: std::net::SocketAddr, listener: &str, pool: &str) -> Proxy {
    let text = format!(
        r#"
[proxy]
state_file = ""
workers = 1
[[listener]]
name = "farm"
listen = "127.0.0.1:0"
{listener}
[[pool]]
name = "pool"
url = "stratum+tcp://{pool_address}"
{pool}
"#
    );
    let (config, _) =
        Config::parse(&text, &ProcessEnv { folder: ".".into() }).unwrap_or_else(|error| panic!("{error}"));
    Proxy::start(config).await.expect("loopback has free ports")
}
