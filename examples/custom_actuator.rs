//! A driver of ASICs of one's own: outlets of a PDU that speaks lines over TCP, told to sleep, to wake, and asked what they draw.
//!
//! ```text
//! cargo run --example custom_actuator
//! ```
//! The PDU is a fake one, below. A config names the driver with `kind = "custom:pdu"`, and [`Drivers`] brings it along.

use std::{collections::HashMap, error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

use hashgate::{
    app::Proxy,
    config::{Config, ProcessEnv, Survives},
    power::{
        Target,
        actuator::{Actuator, Call, Drawn, DriverError, Drivers},
        control::Control,
        device::PowerMode,
        group::Phase,
        site::GroupView,
    },
    profit::Watts,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// For one call: what hangs is told as a fault, and tried again by the proxy.
const WITHIN: Duration = Duration::from_secs(5);

/// Bytes of an answer.
const MAX_LINE: u64 = 256;

/// The PDU; outlets are called as the config calls the devices.
struct Pdu {
    address: SocketAddr,
}

impl Pdu {
    /// Says a line, and reads one: `ok`, `watts 3400`, or `no` and why.
    async fn say(&self, order: &str, device: &Target) -> Result<String, DriverError> {
        let talk = async {
            let mut stream = BufReader::new(TcpStream::connect(self.address).await?);
            // A name with a line's end in it would be two orders.
            let outlet: String = device.name.chars().filter(|c| !c.is_control()).collect();
            stream.write_all(format!("{order} {outlet}\n").as_bytes()).await?;
            let mut answer = String::new();
            // What answers without end is no PDU.
            (&mut stream).take(MAX_LINE).read_line(&mut answer).await?;
            Ok::<_, io::Error>(answer.trim().to_owned())
        };
        let answer = timeout(WITHIN, talk).await.map_err(|_| DriverError::Timeout(WITHIN))?;
        let answer = answer.map_err(|error| DriverError::Unreachable(error.to_string()))?;
        match answer.strip_prefix("no ") {
            Some(why) => Err(DriverError::Refused(why.to_owned())),
            None => Ok(answer),
        }
    }
}

impl Actuator for Pdu {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(async { self.say("off", device).await.map(drop) })
    }

    fn wake<'a>(&'a self, device: &'a Target, _: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(async { self.say("on", device).await.map(drop) })
    }

    fn read<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Drawn>> {
        Some(Box::pin(async {
            let answer = self.say("watts", device).await?;
            let watts = answer.strip_prefix("watts ").and_then(|number| Watts::new(number.parse().ok()?));
            let watts = watts.ok_or_else(|| DriverError::Garbled(format!("{answer:?} is no number of watts")))?;
            Ok(Drawn { watts, mode: None })
        }))
    }

    fn sleep_survives_power_cycle(&self) -> Survives {
        // An outlet that is off stays off.
        Survives::Yes
    }
}

const CONFIG: &str = r#"
[proxy]
state_file = ""
[[listener]]
listen = "127.0.0.1:0"
[[pool]]
url = "sim://"
user = "nobody"
[profit]
mode = "advise"                 # what an operator orders is carried out
[power]
ledger = "LEDGER"
poll_moving = "1s"
[[signal]]
name = "pays"
kind = "push"
unit = "verdict"
[[group]]
name = "rack1"
signal = "pays"
nameplate = "3400 W"
quiet = "1s"
[[group.device]]
name = "rack1-07"
worker = "farm.rack1-07"
[group.actuator]
kind = "custom:pdu"
"#;

/// A PDU with one outlet, `rack1-07`.
async fn fake_pdu(socket: TcpListener) -> io::Result<()> {
    let mut outlets = HashMap::from([("rack1-07".to_owned(), true)]);
    loop {
        let mut stream = BufReader::new(socket.accept().await?.0);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let (order, outlet) = line.trim().split_once(' ').unwrap_or_default();
        let answer = match (order, outlets.get_mut(outlet)) {
            (_, None) => "no such outlet\n".to_owned(),
            ("watts", Some(is_on)) => format!("watts {}\n", if *is_on { 3400 } else { 0 }),
            (order, Some(is_on)) => {
                *is_on = order == "on";
                "ok\n".to_owned()
            }
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let pdu: Arc<dyn Actuator> = Arc::new(Pdu { address: socket.local_addr()? });
    tokio::spawn(fake_pdu(socket));
    let rig = Target { name: "rack1-07".into(), address: None, worker: None };
    let watts = async || pdu.read(&rig).ok_or(DriverError::Garbled("it reads".into()))?.await.map(|drawn| drawn.watts);
    println!("it draws {}", watts().await?);
    let nobody = Target { name: "rack9".into(), ..rig.clone() };
    println!("rack9: {}", pdu.sleep(&nobody).await.expect_err("there is no such outlet"));

    // A proxy that has it puts the machine to sleep, and believes its watts.
    let folder = tempfile::tempdir()?;
    let text = CONFIG.replace("LEDGER", folder.path().join("power.db").to_str().ok_or("a path that is no text")?);
    let (config, _) = Config::parse(&text, &ProcessEnv { folder: ".".into() })?;
    let proxy = Proxy::start_with(config, &Drivers::default().with_actuator("pdu", pdu.clone())).await?;
    let power = proxy.power().ok_or("the config moves no machine")?;
    power.control("rack1", Control::Drain { why: "the example says so".into(), until: None }, false).await?;
    let is_asleep = |group: &GroupView| group.phase == Phase::Asleep;
    let proven = power.wait_for(|seen| seen.site.groups[0].as_ref().is_some_and(is_asleep)).await;
    proven.ok_or("the proxy has ended")?;
    println!("proven asleep by its watts, it draws {}", watts().await?);
    assert_eq!(watts().await?, Watts::ZERO);
    proxy.shut_down(Duration::ZERO).await;
    Ok(())
}
