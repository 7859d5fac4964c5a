//! A signal source of one's own, inside the program that embeds the proxy: a signal of kind `push` is fed by a few lines of Rust,
//! and what follows from it is read back.
//!
//! ```text
//! cargo run --example custom_signal
//! ```

use hashgate::{
    app::Proxy,
    config::{Config, ProcessEnv},
    profit::signal::{Observation, When},
};

const CONFIG: &str = "proxy.state_file = \"\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"nobody\"\n\
    [[signal]]\nname = \"sun\"\nunit = \"kW\"\nkind = \"push\"\n[[group]]\nsignal = \"sun\"\ndrain_below = 500\nwake_above = 800\n";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (config, _) = Config::parse(CONFIG, &ProcessEnv { folder: ".".into() })?;
    let proxy = Proxy::start(config).await?;
    let signals = proxy.signals().ok_or("the config has a signal")?;
    let feed = signals.feed("sun").ok_or("it is pushed")?;
    // What the inverters say; in the canonical unit, which is watts.
    for watts in [900_000.0, 450_000.0] {
        feed.observe(vec![Observation { value: watts, when: When::Now }]).await?;
        let snapshot = signals.snapshot();
        let decision = snapshot.decision.as_ref().ok_or("the config has a group")?;
        println!("{watts} W: {}", decision.decisions.groups[0].reason);
    }
    let refused = feed.observe(vec![Observation { value: f64::NAN, when: When::Now }]).await;
    println!("refused: {}", refused.expect_err("NaN is no power"));
    proxy.shut_down(std::time::Duration::from_secs(1)).await;
    Ok(())
}
