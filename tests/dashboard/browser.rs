//! A real browser without a window: Chromium by its own driver, each at a port of its own.
//! Where Debian's `chromium` and `chromium-driver` are missing, tests say so and pass; with `HASHGATE_NEED_CHROMIUM` set they fail.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element, wd::WebDriverCompatibleCommand};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};
use url::{ParseError, Url};

/// Turns a skip into a failure.
const NEED: &str = "HASHGATE_NEED_CHROMIUM";

/// Where Debian puts them.
const CHROMIUM: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

/// How long anything may take; reached only when a test fails. A browser is slow to start on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(120);

/// An open browser.
pub struct Browser {
    client: Client,
    driver: Child,
}

impl Browser {
    /// `None` where there is no Chromium.
    pub async fn open() -> Option<Self> {
        if let Some(missing) = [CHROMIUM, DRIVER].into_iter().find(|program| !Path::new(program).exists()) {
            assert!(std::env::var_os(NEED).is_none(), "{missing} is not here, and {NEED} wants it");
            println!("skipped: {missing} is not here (Debian: chromium, chromium-driver)");
            return None;
        }
        let mut driver = Command::new(DRIVER)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the driver starts");
        let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = timeout(LIMIT, async {
            loop {
                let line = lines.next_line().await.expect("it is text").expect("the driver says its port");
                if let Some(port) = line.strip_prefix("ChromeDriver was started successfully on port ") {
                    break port.trim_end_matches('.').to_owned();
                }
            }
        })
        .await
        .expect("the driver starts in time");
        let options = json!({
            "binary": CHROMIUM,
            "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--lang=en-US"],
        });
        let wanted = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let Value::Object(wanted) = wanted else { unreachable!("it is an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the browser starts");
        Some(Self { client, driver })
    }

    /// Runs a test with it, and ends it however that ends: what the driver started would outlive it.
    pub async fn with<T: Send + 'static>(self, test: impl Future<Output = T> + Send + 'static) -> T {
        let Self { client, mut driver } = self;
        let ended = tokio::spawn(test).await;
        let _ = timeout(LIMIT, client.close()).await;
        let _ = driver.kill().await;
        ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// Its page, for a test.
    pub fn page(&self) -> Page {
        Page(self.client.clone())
    }
}

/// What a reader sees and does.
#[derive(Clone)]
pub struct Page(Client);

impl Page {
    pub async fn go(&self, address: &str) {
        self.0.goto(address).await.expect("the page loads");
    }

    /// As wide and high as a screen, in CSS pixels.
    pub async fn is_sized(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.tell("goog/cdp/execute", json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": size })).await;
    }

    /// What a script returns.
    pub async fn js(&self, script: &str) -> Value {
        self.0.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{error}: {script}"))
    }

    /// Waits until a script returns what is true.
    pub async fn until(&self, what: &str, script: &str) {
        let begun = Instant::now();
        while self.js(&format!("return Boolean({script})")).await != true {
            if begun.elapsed() > LIMIT {
                let seen = self.js("return document.body.innerText").await;
                panic!("not so: {what}: {script}\n{}\n{:#?}", seen.as_str().unwrap_or_default(), self.console().await);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a part is seen and has these words.
    pub async fn says(&self, part: &str, words: &str) {
        let has = format!("part?.checkVisibility() && part.innerText.includes({})", json!(words));
        let script = format!("((part) => {has})(document.querySelector({}))", json!(part));
        self.until(&format!("{part} says {words:?}"), &script).await;
    }

    pub async fn find(&self, part: &str) -> Element {
        let found = self.0.wait().at_most(LIMIT).for_element(Locator::Css(part)).await;
        found.unwrap_or_else(|error| panic!("{part}: {error}"))
    }

    pub async fn click(&self, part: &str) {
        self.find(part).await.click().await.unwrap_or_else(|error| panic!("{part}: {error}"));
    }

    /// Types into a field, in place of what is there.
    pub async fn types(&self, part: &str, text: &str) {
        let field = self.find(part).await;
        field.clear().await.expect("it can be cleared");
        field.send_keys(text).await.expect("it takes text");
    }

    /// What the console has said since it was asked last, of a browser's own complaints and of scripts: errors and warnings.
    pub async fn console(&self) -> Vec<String> {
        let log = self.tell("se/log", json!({ "type": "browser" })).await;
        let lines = log.as_array().expect("a list").iter();
        let loud = lines.filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING");
        loud.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn tell(&self, path: &'static str, body: Value) -> Value {
        self.0.issue_cmd(Extra { path, body }).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

/// A command that the driver has beside the standard's.
#[derive(Debug)]
struct Extra {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extra {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (axum::http::Method, Option<String>) {
        (axum::http::Method::POST, Some(self.body.to_string()))
    }
}
