use proptest::prelude::*;

use percent_encoding::percent_decode_str;

use super::*;

fn values<'a>(ip: &str, worker: &'a str) -> Values<'a> {
    Values { ip: ip.parse().ok(), worker: Some(worker), device: "rack1-07", mode: None }
}

fn url(template: &str, ip: &str, worker: &str) -> Result<String, Unfit> {
    Address::parse(template, &Place::WAKE).unwrap().fill(&values(ip, worker)).map(|url| url.to_string())
}

#[test]
fn each_place_is_filled_once() {
    let argument = Argument::parse("{ip}/{worker}:{device}={mode}{", &Place::WAKE).unwrap();
    let filled = argument.fill(&Values { mode: Some("{ip}"), ..values("10.0.0.7", "{device}{worker}") });
    assert_eq!(filled.unwrap(), "10.0.0.7/{device}{worker}:rack1-07={ip}{");
    assert!(names_machine("--name={worker}") && !names_machine("{mode} { worker } {worker"));
}

#[test]
fn braces_around_no_word_are_braces_and_an_unknown_word_is_an_error() {
    for text in ["{\"a\": {\"b\": 1}}", "{}", "{ ip }", "{IP}", "}{", "awk '{print $1}'"] {
        let argument = Argument::parse(text, &Place::WAKE).unwrap();
        assert_eq!(argument.fill(&values("::1", "w")).unwrap(), text);
    }
    let told = |text: &str, allowed: &[Place]| Argument::parse(text, allowed).unwrap_err().to_string();
    assert_eq!(told("{ipp}", &Place::MACHINE), "\"{ipp}\" stands for nothing; did you mean {ip}?");
    let known = "known here: {ip}, {worker}, {device}; a brace that is meant as one has a space behind it";
    assert_eq!(told("--at={host}", &Place::MACHINE), format!("\"{{host}}\" stands for nothing; {known}"));
    assert_eq!(told("{mode}", &Place::MACHINE), format!("\"{{mode}}\" stands for nothing; {known}"));
    assert_eq!(told("{it_watt}", &Place::LEASE), "\"{it_watt}\" stands for nothing; did you mean {it_watts}?");
    assert_eq!(told("{ip}", &[]), "\"{ip}\" stands for nothing; nothing stands for anything here");
    assert!(told("a\0", &[]).contains("zero byte"));
    assert!(told(&"x".repeat(MAX_TEMPLATE_BYTES + 1), &[]).contains("write at most 4096"));
}

#[test]
fn an_argument_never_becomes_an_option() {
    let fill =
        |text: &str, worker: &str| Argument::parse(text, &Place::WAKE).unwrap().fill(&values("10.0.0.7", worker));
    assert_eq!(fill("{worker}", "$(reboot) `x`\n\"'; ../").unwrap(), "$(reboot) `x`\n\"'; ../");
    assert!(matches!(fill("{worker}", "--delete-all"), Err(Unfit::Option(_))));
    assert!(matches!(fill("{mode}{worker}", "-x"), Err(Unfit::Option(_))));
    assert_eq!(fill("--name={worker}", "-x").unwrap(), "--name=-x");
    assert_eq!(fill("w:{worker}", "-x").unwrap(), "w:-x");
    assert_eq!(fill("", "-x").unwrap(), "");
}

#[test]
fn a_program_is_named_by_the_operator_alone() {
    let check = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        CommandLine::parse(&words, &Place::WAKE)
    };
    assert!(check(&["pdu", "off", "{device}"]).is_ok() && check(&["/opt/my pdu", "off"]).is_ok());
    for words in [&[][..], &[""], &[" ", "x"], &["{worker}"], &["/opt/{worker}", "x"], &["pdu", "a\0b"], &["pdu off"]] {
        assert!(check(words).is_err(), "{words:?}");
    }
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let nobody = Values { ip: None, worker: None, device: "d", mode: None };
    assert_eq!(Argument::parse("{ip}", &Place::WAKE).unwrap().fill(&nobody), Err(Unfit::NoAddress));
    assert_eq!(Argument::parse("{worker}", &Place::WAKE).unwrap().fill(&nobody), Err(Unfit::NoWorker));
    assert_eq!(Argument::parse("[{mode}]", &Place::WAKE).unwrap().fill(&nobody).unwrap(), "[]");
}

#[test]
fn an_ipv6_address_gets_brackets_in_a_host_only() {
    for template in ["http://{ip}:8080/off?at={ip}", "http://[{ip}]:8080/off?at={ip}"] {
        assert_eq!(url(template, "fd00::7", "w").unwrap(), "http://[fd00::7]:8080/off?at=fd00%3A%3A7");
        assert_eq!(url(template, "10.0.0.7", "w").unwrap(), "http://10.0.0.7:8080/off?at=10.0.0.7");
    }
    assert_eq!(url("https://[fd00::1]/x", "10.0.0.7", "w").unwrap(), "https://[fd00::1]/x");
}

#[test]
fn a_hostile_name_stays_in_its_place() {
    let at = |worker| url("http://{ip}/w/{worker}/off?name={worker}&all=0", "10.0.0.7", worker);
    for (worker, encoded) in [
        ("a b\"'", "a%20b%22%27"),
        ("$(reboot)", "%24%28reboot%29"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"),
        ("x&all=1#?", "x%26all%3D1%23%3F"),
        ("%2e%2e", "%252e%252e"),
        ("..\\..", "..%5C.."),
        ("ü", "%C3%BC"),
    ] {
        assert_eq!(at(worker).unwrap(), format!("http://10.0.0.7/w/{encoded}/off?name={encoded}&all=0"), "{worker}");
    }
    for worker in [".", ".."] {
        assert!(matches!(at(worker), Err(Unfit::Path(_))), "{worker}");
    }
    assert!(matches!(url("http://h/.{worker}", "::1", "."), Err(Unfit::Path(_))));
    assert!(matches!(url("http://h/%2e{worker}", "::1", "."), Err(Unfit::Path(_))));
}

#[test]
fn a_name_in_a_host_is_one_label_of_it() {
    let at = |worker| url("http://{worker}.pdu.lan:81/off", "::1", worker);
    assert_eq!(at("rig7").unwrap(), "http://rig7.pdu.lan:81/off");
    for worker in ["evil.com/", "a.b", "a@b", "", "a:1", "é", "-a", "a b", "[", &"a".repeat(64)] {
        assert!(matches!(at(worker), Err(Unfit::Host(_))), "{worker}");
    }
}

#[test]
fn a_wrong_address_is_told_before_a_machine_should_sleep() {
    for (text, what) in [
        ("{ip}/off", "does not begin"),
        ("ftp://{ip}/", "does not begin"),
        ("http://{worker}/off", "a name as its host"),
        ("http://a{ip}/off", "as a part of its host"),
        ("http://{mode}.lan/", "{mode} in its host"),
        ("{mode}://h/", "does not begin"),
        ("http://{device}:{ip}/", "no number"),
        ("http://{ip}:99999/", "no number"),
        ("http://u:p@{ip}/", "belong into headers"),
        ("http://{ip}/#x", "fragment"),
        ("http://{ip}/a b", "characters"),
        ("http://{ip}\\x", "characters"),
        ("http://{ip}/{x1}", "braces"),
        ("http://{ip}/{name}", "stands for nothing"),
        ("http://{ip}/../x", "can't stand in a path"),
        ("http:///x", "no host"),
        ("http://:80/x", "no host"),
        ("http://[::g]/", "not an address"),
    ] {
        let error = Address::parse(text, &Place::WAKE).expect_err(text);
        assert!(error.to_string().contains(what), "{text}: {error}");
    }
    assert!(Address::parse("https://pdu.lan/outlet/{device}?m={mode}", &Place::WAKE).is_ok());
}

#[test]
fn a_body_of_json_stays_what_it_is() {
    let body =
        Body::parse("{\"outlet\": \"{device}\", \"by\": \"{worker}\", \"n\": {\"a\": 1}}", &Place::WAKE).unwrap();
    let text = body.fill(&values("::1", "x\", \"all\": \"\n\u{1}")).unwrap();
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&read["by"], &read["outlet"]), (&"x\", \"all\": \"\n\u{1}".into(), &"rack1-07".into()));
    assert!(read.get("all").is_none());
    let form = Body::parse("outlet={device}&by={worker}", &Place::WAKE).unwrap();
    assert_eq!(form.fill(&values("::1", "a&b=c d")).unwrap(), "outlet=rack1-07&by=a%26b%3Dc%20d");
    assert_eq!((body.content_type(), form.content_type()), ("application/json", "application/x-www-form-urlencoded"));
    assert!(Body::parse("{\"outlet\": {device}}", &Place::WAKE).unwrap_err().what.contains("begins as JSON"));
    assert!(Body::parse("{\"outlet\": \"{plug}\"}", &Place::WAKE).is_err());
}

#[test]
fn a_topic_has_one_machine() {
    let topic = Topic::parse("site/{device}/em/power", &Place::MACHINE).unwrap();
    assert_eq!((&*topic.filter, topic.place), ("site/+/em/power", Place::Device));
    assert_eq!(topic.name("site/rack1-07/em/power"), Some("rack1-07"));
    assert_eq!(topic.name("site//em/power"), None);
    assert_eq!(topic.name("site"), None);
    assert_eq!(Topic::parse("{ip}/w", &Place::MACHINE).unwrap().filter, "+/w");
    for text in [
        "site/power",
        "a/{device}x",
        "{ip}/{worker}",
        "a/{mode}",
        "#/{ip}",
        "a+/{ip}",
        "{ip}/#",
        "site/{device}/+/power",
        "$share/g/{ip}",
        "",
        "{x}/{ip}",
    ] {
        assert!(Topic::parse(text, &Place::MACHINE).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn a_text_without_places_stays_as_it_is(text in "[^{\0]*[{]?[^a-z_{\0]*") {
        let argument = Argument::parse(&text, &[]).unwrap();
        prop_assert_eq!(argument.fill(&values("::1", "w")).unwrap(), text);
    }

    #[test]
    fn no_text_and_no_name_panics(text in "[{}a-z/:?\\[\\]@.%é]{0,30}", worker in any::<String>(), v6: bool) {
        let values = values(if v6 { "fd00::7" } else { "10.0.0.7" }, &worker);
        let _ = Argument::parse(&text, &Place::WAKE).map(|argument| argument.fill(&values));
        let _ = Body::parse(&text, &Place::WAKE).map(|body| body.fill(&values));
        let _ = Topic::parse(&text, &Place::MACHINE).map(|topic| topic.name(&worker).map(str::len));
        let _ = Address::parse(&format!("http://{text}"), &Place::WAKE).map(|address| address.fill(&values));
    }

    #[test]
    fn a_name_is_one_segment_whatever_it_is(worker in any::<String>()) {
        if let Ok(url) = Address::parse("http://h/a/{worker}/z", &Place::WAKE).unwrap().fill(&values("::1", &worker)) {
            let segments: Vec<&str> = url.path_segments().unwrap().collect();
            let decoded = percent_decode_str(segments[1]).decode_utf8().unwrap();
            prop_assert_eq!((segments.len(), segments[2], &*decoded, url.query()), (3, "z", &*worker, None));
        } else {
            prop_assert!(worker == "." || worker == "..");
        }
    }
}
