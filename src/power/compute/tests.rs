//! The drivers against receivers over loopback: scripted ones, commands, the simulated site, and the reference receiver in Python.

mod python;
mod site;
mod webhook;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    config::{Secret, ServerTrust},
    power::{
        actuator::DriverError,
        ledger::{Epoch, LeaseId},
        site::LeaseOrder,
    },
    profit::{Ratio, Watts},
};

/// Longest wait for anything here.
const LIMIT: Duration = Duration::from_secs(20);

const SECRET: &str = "a secret that both sides know";

const PUE: f64 = 1.25;

fn pue() -> Ratio {
    Ratio::new(PUE).unwrap()
}

fn soon(seconds: i64) -> Timestamp {
    Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn webhook(url: &str, status: &str, within: Duration) -> Webhook {
    webhook_with(url, status, within, SECRET)
}

fn webhook_with(url: &str, status: &str, within: Duration, secret: &str) -> Webhook {
    let secret: Secret = secret.parse().unwrap();
    Webhook::new(url.parse().unwrap(), status.parse().unwrap(), secret, &ServerTrust::System, within, pue()).unwrap()
}

/// Of the lease with this number of epoch 7, 10 kW of IT.
fn grant(number: u64) -> LeaseMessage {
    grant_in(7, number)
}

fn grant_in(epoch: u32, number: u64) -> LeaseMessage {
    let watts = Watts::new(12_500.0).unwrap();
    let lease = LeaseId((u64::from(epoch) << 32) | number);
    LeaseMessage { lease, epoch: Epoch(epoch), what: LeaseOrder::Grant { watts, expires: soon(120) } }
}

/// Of the same, at once.
fn revoke(number: u64) -> LeaseMessage {
    let what = LeaseOrder::Revoke { watts: Watts::new(12_500.0).unwrap(), deadline: soon(0) };
    LeaseMessage { what, ..grant(number) }
}

/// Tells it again until it says this; drivers repeat nothing by themselves.
async fn until_it_says(compute: &dyn Compute, message: LeaseMessage, wanted: LeaseAnswer) {
    let began = Instant::now();
    loop {
        let said = compute.tell(message).await;
        if said == Ok(wanted) {
            return;
        }
        assert!(began.elapsed() < LIMIT, "{said:?}, where {wanted:?} was waited for");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Asks until it draws so much.
async fn until_it_draws(compute: &dyn Compute, wanted: f64) -> Status {
    let began = Instant::now();
    loop {
        let status = compute.status().await;
        if let Ok(status) = &status
            && status.drawn.watts.get() == wanted
        {
            return status.clone();
        }
        assert!(began.elapsed() < LIMIT, "{status:?}, where {wanted} W were waited for");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

mod commands {
    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    fn commands(tell: &str, status: &str, within: Duration) -> Commands {
        Commands::new(&shell(tell), &shell(status), within, pue()).unwrap()
    }

    async fn told(script: &str, message: LeaseMessage) -> Result<LeaseAnswer, DriverError> {
        commands(script, "exit 1", LIMIT).tell(message).await
    }

    async fn asked(script: &str) -> Result<Status, DriverError> {
        commands("exit 1", script, LIMIT).status().await
    }

    #[tokio::test]
    async fn a_command_answers_with_json_or_its_exit_code() {
        use LeaseAnswer::{Refused, Released, Releasing, Taken};
        for (script, to_grant, to_revoke) in [
            ("true", Ok(Taken), Ok(Releasing)),
            ("echo; echo", Ok(Taken), Ok(Releasing)),
            ("echo '{\"state\":\"released\"}'", Ok(Released), Ok(Released)),
            ("echo '{\"state\":\"releasing\"}'", Ok(Releasing), Ok(Releasing)),
            ("echo '{\"state\":\"taken\"}'", Ok(Taken), Err("not understood")),
            ("echo '{\"state\":\"refused\"}'", Ok(Refused), Err("refused")),
            ("echo taken", Err("not understood"), Err("not understood")),
            ("yes", Err("not understood"), Err("not understood")),
            ("echo '{\"state\":\"taken\"}'; echo no node is free >&2; exit 3", Err("refused"), Err("refused")),
        ] {
            for (message, wanted) in [(grant(1), to_grant), (revoke(1), to_revoke)] {
                match (told(script, message).await, wanted) {
                    (Ok(said), Ok(wanted)) => assert_eq!(said, wanted, "{script}"),
                    (Err(error), Err(words)) => assert!(error.to_string().starts_with(words), "{script}: {error}"),
                    (said, wanted) => panic!("{script}: {said:?}, not {wanted:?}"),
                }
            }
        }
        let error = told("echo no node is free >&2; exit 3", grant(1)).await.unwrap_err();
        assert_eq!(error, DriverError::Refused("/bin/sh ended with exit status: 3: no node is free".into()));
        let nobody = Commands::new(&["./no/such/program".into()], &["./nor/this".into()], LIMIT, pue()).unwrap();
        assert!(matches!(nobody.tell(grant(1)).await, Err(DriverError::Unreachable(_))));
        assert!(matches!(nobody.status().await, Err(DriverError::Unreachable(_))));
        let short = Duration::from_millis(200);
        let slow = commands("sleep 600", "sleep 600", short);
        assert_eq!(slow.tell(grant(1)).await, Err(DriverError::Timeout(short)));
        assert_eq!(slow.status().await.unwrap_err(), DriverError::Timeout(short));
    }

    #[tokio::test]
    async fn a_command_gets_the_message_in_its_arguments_and_on_its_input() {
        let folder = tempfile::tempdir().unwrap();
        let (words, input) = (folder.path().join("words"), folder.path().join("input"));
        let mut tell = shell(&format!("printf '%s|' \"$@\" > {}; cat > {}", words.display(), input.display()));
        tell.extend(
            ["x", "{type}", "--id={id}", "{epoch}", "{watts}/{it_watts}", "{deadline}", "{expires}", "$HOME;{ no }"]
                .map(str::to_owned),
        );
        let commands = Commands::new(&tell, &shell("exit 1"), LIMIT, pue()).unwrap();
        let message = grant(1);
        assert_eq!(commands.tell(message).await, Ok(LeaseAnswer::Taken));
        let LeaseOrder::Grant { expires, .. } = message.what else { unreachable!() };
        let wanted = format!("lease.grant|--id=7-1|7|12500/10000||{expires:.3}|$HOME;{{ no }}|");
        assert_eq!(std::fs::read_to_string(words).unwrap(), wanted);
        let read: message::Message = serde_json::from_slice(&std::fs::read(input).unwrap()).unwrap();
        assert_eq!(read, message::Message::new(&message, pue()));
    }

    #[tokio::test]
    async fn a_status_is_read_from_a_command() {
        let print = |observed: Timestamp| {
            format!(
                "echo '{{\"epoch\":7,\"drawn_watts\":1234.5,\"state\":\"running\",\"observed_at\":\"{observed}\"}}'"
            )
        };
        let observed = soon(-2);
        let status = asked(&print(observed)).await.unwrap();
        assert_eq!((status.epoch, status.drawn.watts.get(), status.drawn.taken_at), (Epoch(7), 1234.5, observed));
        assert!(matches!(asked(&print(soon(-400))).await, Err(DriverError::Refused(_))));
        assert!(matches!(asked(&print(soon(90))).await, Err(DriverError::Refused(_))));
        assert!(matches!(asked("true").await, Err(DriverError::Garbled(_))), "no status is no status");
        assert!(matches!(asked("echo down >&2; exit 1").await, Err(DriverError::Refused(_))));
        let asked_at = Timestamp::now();
        let ahead = asked(&print(soon(30))).await.unwrap().drawn.taken_at;
        assert!(ahead >= asked_at && ahead <= Timestamp::now(), "what is ahead counts as of the question");
    }
}

mod building {
    use super::*;
    use crate::{
        config::Quote,
        profit::{Money, MoneyPerMwh},
    };

    struct Nobody;

    impl Compute for Nobody {
        fn tell(&self, _: LeaseMessage) -> Call<'_, LeaseAnswer> {
            Box::pin(async { Err(DriverError::NoAddress) })
        }

        fn status(&self) -> Call<'_, Status> {
            Box::pin(async { Err(DriverError::NoAddress) })
        }
    }

    fn ai() -> Ai {
        Ai {
            name: "gpus".into(),
            power: Watts::MEGAWATT,
            price: crate::config::AiPrice::PerMwh(Quote::Fixed(MoneyPerMwh::ZERO)),
            demand: Quote::Fixed(Ratio::ONE),
            pue: pue(),
            block: Watts::ZERO,
            notice: Duration::ZERO,
            min_term: Duration::ZERO,
            interruptible: true,
            warm_up: Duration::ZERO,
            wear_per_mw: Money::ZERO,
            feeder: None,
        }
    }

    fn built(control: ComputeKind, drivers: &Drivers) -> Result<Arc<dyn Compute>, String> {
        let block = PowerBlock {
            control,
            idle: Watts::ZERO,
            tolerance: Ratio::ZERO,
            poll: LIMIT,
            sheds_within: None,
            starts_within: LIMIT,
            returns_within: LIMIT,
        };
        build(&block, &ai(), "gpus".into(), drivers).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_configured_is_built_and_what_cannot_be_says_why() {
        let none = Drivers::default();
        let web = |secret: &str| ComputeKind::Webhook {
            url: "http://127.0.0.1:1/".parse().unwrap(),
            status: "http://127.0.0.1:1/".parse().unwrap(),
            secret: secret.parse().unwrap(),
            trust: ServerTrust::System,
            timeout: LIMIT,
        };
        let exec = |tell: &[&str]| {
            let tell = tell.iter().map(|word| (*word).to_owned()).collect();
            ComputeKind::Exec { tell, status: vec!["status".into()], timeout: LIMIT }
        };
        assert!(built(web("s"), &none).is_ok() && built(exec(&["tell"]), &none).is_ok());
        let why = |control, drivers| built(control, drivers).err().unwrap();
        assert_eq!(why(web(""), &none), "ai gpus: its secret is empty: anybody could grant it power");
        assert!(why(exec(&[]), &none).starts_with("ai gpus: names no program; "));
        assert!(why(exec(&[""]), &none).starts_with("ai gpus: names no program; "));
        assert!(why(exec(&["tell", "{ip}"]), &none).contains("\"{ip}\" stands for nothing"));
        let custom = || ComputeKind::Custom("slurm".into());
        assert_eq!(why(custom(), &none), "ai gpus: there is no driver \"custom:slurm\": none was brought along");
        let other = Drivers::default().with_compute("k8s", Arc::new(Nobody));
        assert_eq!(why(custom(), &other), "ai gpus: there is no driver \"custom:slurm\": there is k8s");
        assert!(built(custom(), &other.with_compute("slurm", Arc::new(Nobody))).is_ok());
    }
}
