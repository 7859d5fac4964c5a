//! `hashgate asic`: one machine's firmware, spoken to by hand, and what is said shown.
//!
//! Knows arguments and the terminal; what is said is the driver's. It asks no running proxy and tells none.
//!
//! Limits of a scan: private networks (and this host) alone, [`MAX_HOSTS`] addresses, a new one every [`PACE`], [`AT_ONCE`] at once.

use std::{net::IpAddr, time::Duration};

use clap::{Args, Subcommand};
use ipnet::IpNet;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::Failure;
use crate::{
    config::{Firmware, Make, Survives},
    power::{
        Target,
        actuator::{Actuator, DriverError, Identify, Line, Trace, build_firmware},
        device::PowerMode,
    },
};

/// Addresses of one scan: sixteen halls of a /24 each.
const MAX_HOSTS: usize = 4096;
/// Between two addresses.
const PACE: Duration = Duration::from_millis(20);
/// Addresses that are asked at once.
const AT_ONCE: usize = 64;
/// For each call of a scan.
const WITHIN: Duration = Duration::from_secs(2);

/// What is done with one machine.
#[derive(Debug, Subcommand)]
pub enum AsicCommand {
    /// Ask what it draws, and its power mode; order nothing
    Probe(MachineArgs),
    /// Put it to sleep
    Sleep(MachineArgs),
    /// Let it mine
    Wake(WakeArgs),
    /// Find machines in your own network, and print [[group.device]] entries for the config
    Scan(ScanArgs),
}

/// Which machine, and how it is spoken to.
#[derive(Debug, Args)]
pub struct MachineArgs {
    /// Its address
    address: IpAddr,
    /// Its firmware: luxos, braiins, antminer or axeos
    #[arg(long, value_name = "FIRMWARE", value_parser = parse_make)]
    kind: Make,
    /// Its port, if somebody moved it
    #[arg(long)]
    port: Option<u16>,
    /// Who logs in, for braiins and antminer
    #[arg(long)]
    user: Option<String>,
    /// The environment variable that has the password
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
    /// For all of it
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Arguments of `wake`.
#[derive(Debug, Args)]
pub struct WakeArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// The power mode to wake it in, as `probe` tells it: "2400 W" for braiins; normal, high or low for antminer
    #[arg(long)]
    mode: Option<String>,
}

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// Your own network, as in 10.1.0.0/24; private ones only
    subnet: IpNet,
    /// Where LuxOS and Braiins OS listen
    #[arg(long, value_name = "PORT", default_value_t = 4028)]
    rpc_port: u16,
    /// Where the others listen
    #[arg(long, value_name = "PORT", default_value_t = 80)]
    web_port: u16,
}

fn parse_make(text: &str) -> Result<Make, String> {
    let known = Make::ALL.map(Make::label).join(", ");
    Make::parse(text).ok_or_else(|| format!("no firmware is called \"{text}\"; known are {known}"))
}

/// Does it, and shows it.
///
/// # Errors
/// [`Failure`] if it could not be done.
pub(super) async fn run(command: AsicCommand) -> Result<(), Failure> {
    match command {
        AsicCommand::Probe(args) => probe(&args).await,
        AsicCommand::Sleep(args) => {
            let (driver, target) = args.driver()?;
            driver.sleep(&target).await.map_err(|error| failed("told to sleep", &error))?;
            say_told("sleep", args.kind);
            Ok(())
        }
        AsicCommand::Wake(args) => {
            let (driver, target) = args.machine.driver()?;
            let mode = args.mode.map(|mode| PowerMode(mode.into()));
            driver.wake(&target, mode.as_ref()).await.map_err(|error| failed("told to wake", &error))?;
            say_told("wake", args.machine.kind);
            Ok(())
        }
        AsicCommand::Scan(args) => scan(&args).await,
    }
}

async fn probe(args: &MachineArgs) -> Result<(), Failure> {
    let (driver, target) = args.driver()?;
    if let Some(mode) = driver.mode(&target) {
        match mode.await.map_err(|error| failed("asked for its mode", &error))? {
            Some(PowerMode(mode)) => println!("its power mode: {mode}"),
            None => println!("it has no power mode to tell: it sleeps, or is tuned otherwise"),
        }
    }
    match driver.read(&target) {
        Some(read) => {
            let drawn = read.await.map_err(|error| failed("asked what it draws", &error))?;
            println!("it says that it draws {:.1} W", drawn.watts.get());
        }
        None => println!("{} does not tell what it draws: a meter or a PDU does", args.kind.label()),
    }
    println!(
        "{}",
        match driver.sleep_survives_power_cycle_of(&target) {
            Survives::Yes =>
                "as its version is documented, a sleep outlives a power cut: test it before you rely on it",
            Survives::No => "as its version is documented, a power cut wakes it",
            Survives::Unknown => "whether a sleep outlives a power cut is not documented for it: test it",
        }
    );
    Ok(())
}

fn failed(what: &str, error: &DriverError) -> Failure {
    Failure::Failed(format!("it could not be {what}: {error}"))
}

fn say_told(what: &str, make: Make) {
    let proof =
        if make.tells_watts() { "`hashgate asic probe` asks what it draws" } else { "a meter says what it draws" };
    println!("it was told to {what}, which proves nothing: {proof}");
}

impl MachineArgs {
    fn driver(&self) -> Result<(std::sync::Arc<dyn Actuator>, Target), Failure> {
        let misused = |words: String| Failure::Misused(words);
        let name = self.kind.label();
        let login = match (self.kind.has_login(), &self.user, &self.password_env) {
            (true, Some(user), Some(variable)) => {
                let password = std::env::var(variable).ok().filter(|password| !password.is_empty());
                // Its name is not quoted: operators write the password itself in its place.
                let password = password
                    .ok_or_else(|| misused("--password-env names a variable that is not set, or empty".to_owned()))?;
                let password = password.parse().map_err(|error| misused(format!("the password {error}")))?;
                Some((user.as_str().into(), password))
            }
            (true, ..) => {
                return Err(misused(format!("{name} asks who speaks: add --user and --password-env; none is guessed")));
            }
            (false, None, None) => None,
            (false, ..) => {
                return Err(misused(format!("{name} asks nobody who speaks: drop --user and --password-env")));
            }
        };
        let port = self.port.unwrap_or_else(|| self.kind.port());
        let firmware = Firmware { make: self.kind, login, port, timeout: self.timeout };
        let trace = Trace::to(|line| match line {
            Line::Sent(text) => println!("> {text}"),
            Line::Answered(text) => println!("< {text}"),
        });
        let driver = build_firmware(&firmware, trace).map_err(|error| misused(error.to_string()))?;
        let name = self.address.to_string().into();
        Ok((driver, Target { name, address: Some(self.address), worker: None }))
    }
}

/// Whether a network is somebody's own.
fn is_private(subnet: &IpNet) -> bool {
    const PRIVATE: [&str; 6] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"];
    PRIVATE.iter().filter_map(|net| net.parse::<IpNet>().ok()).any(|net| net.contains(subnet))
}

async fn scan(args: &ScanArgs) -> Result<(), Failure> {
    let subnet = args.subnet.trunc();
    if !is_private(&subnet) {
        return Err(Failure::Misused(format!("{subnet} is no private network: only your own is scanned")));
    }
    let hosts: Vec<IpAddr> = subnet.hosts().take(MAX_HOSTS + 1).collect();
    if hosts.len() > MAX_HOSTS {
        let words = format!("{subnet} has more than {MAX_HOSTS} addresses: scan it in pieces, as in a /20");
        return Err(Failure::Misused(words));
    }
    let ask =
        Identify::new(args.rpc_port, args.web_port, WITHIN).map_err(|error| Failure::Failed(error.to_string()))?;
    let ask = std::sync::Arc::new(ask);
    let count = hosts.len();
    let (mut asked, mut found) = (JoinSet::new(), Vec::new());
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for host in hosts {
        pace.tick().await;
        if asked.len() >= AT_ONCE {
            found.extend(asked.join_next().await.and_then(Result::ok).flatten());
        }
        let ask = ask.clone();
        asked.spawn(async move { ask.ask(host).await.map(|make| (make, host)) });
    }
    found.extend(asked.join_all().await.into_iter().flatten());
    found.sort_by_key(|(make, host)| (make.label(), *host));
    println!("# {count} addresses of {subnet} asked, {} machines found", found.len());
    let mut group = None;
    for (make, host) in &found {
        if group.replace(*make) != Some(*make) {
            println!("\n# below a [[group]] with [group.actuator] kind = \"{}\"", make.label());
        }
        let name = host.to_string().replace(['.', ':'], "-");
        println!("[[group.device]]\nname = \"{}-{name}\"\naddress = \"{host}\"", make.label());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_networks_are_scanned() {
        for (subnet, is_own) in [
            ("10.1.0.0/24", true),
            ("172.31.255.0/24", true),
            ("172.32.0.0/24", false),
            ("192.168.1.1/32", true),
            ("127.0.0.0/30", true),
            ("8.8.8.0/24", false),
            ("10.0.0.0/7", false),
            ("0.0.0.0/0", false),
            ("fd00::/120", true),
            ("2001:db8::/120", false),
        ] {
            assert_eq!(is_private(&subnet.parse::<IpNet>().unwrap().trunc()), is_own, "{subnet}");
        }
    }
}
