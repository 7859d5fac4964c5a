//! The way from the command line to the running proxy: its admin API, as any other client uses it.
//!
//! | what | from |
//! |---|---|
//! | address | `--url`, or the variable `HASHGATE_URL`, or `[admin] listen` of the config |
//! | token | the variable `HASHGATE_TOKEN`, or `[admin] token` of the config, wherever that takes it from |
//!
//! The config is not read if both are known without it, and nothing of it but `[admin]`. Every failure is a sentence with what to do.
//!
//! Limits: [`PATIENCE`] for an answer, [`MAX_ANSWER`] bytes.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use hyper::{
    HeaderMap, Method, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use url::Url;

use super::{Failure, words::printable};
use crate::{
    config::{Admin, LoadError},
    http::{HttpClient, HttpError, Opened, Question},
};

/// Time for an answer: more than the API itself waits for the power side.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes of an answer: a page of a thousand workers whose names are all the longest there can be is a third of it.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// What of a name is not itself in a path (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where the running proxy is.
#[derive(Debug, Args)]
pub struct Reach {
    /// The config of the running proxy: [admin] has its address and its token; HASHGATE_TOKEN stands for the token
    #[arg(long, short, value_name = "FILE", default_value = "hashgate.toml")]
    config: PathBuf,
    /// Its admin API, instead of the config's; or HASHGATE_URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// A client of one proxy's admin API.
pub struct Caller {
    client: HttpClient,
    url: Url,
    headers: HeaderMap,
    /// Where the token is from, for whom it does not open.
    token_from: String,
}

impl Reach {
    /// Finds out where the proxy is and what opens it; asks nothing yet.
    ///
    /// # Errors
    /// [`Failure`] if config or variables do not say.
    pub fn caller(&self) -> Result<Caller, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = self.url.clone().or_else(|| variable("HASHGATE_URL"));
        let token = variable("HASHGATE_TOKEN");
        let admin = if url.is_some() && token.is_some() { None } else { Some(admin(&self.config)?) };
        let url = match (url, &admin) {
            (Some(url), _) => parse(&url)?,
            (None, Some(admin)) => address(admin.listen, &self.config)?,
            (None, None) => unreachable!("the config is read unless both are known"),
        };
        let (token, token_from) = match (token, &admin) {
            (Some(token), _) => (token, "the variable HASHGATE_TOKEN".to_owned()),
            (None, Some(admin)) => (admin.token.expose().to_owned(), format!("[admin] of {}", self.config.display())),
            (None, None) => unreachable!("the config is read unless both are known"),
        };
        Caller::new(url, &token, token_from)
    }
}

fn admin(path: &Path) -> Result<Admin, Failure> {
    let elsewhere = "name another config with --config, or set HASHGATE_URL and HASHGATE_TOKEN";
    match Admin::load(path) {
        Ok(Some(admin)) => Ok(admin),
        Ok(None) => Err(Failure::Misused(format!(
            "config {} has no [admin], so its proxy can't be asked anything: add [admin] with token_file or token_env and start it anew",
            path.display()
        ))),
        Err(error @ LoadError::Read { .. }) => Err(Failure::Misused(format!("{error}\n{elsewhere}"))),
        Err(error @ LoadError::Invalid { .. }) => Err(Failure::Misused(format!("{error}\n{elsewhere}"))),
    }
}

fn parse(text: &str) -> Result<Url, Failure> {
    let help = "write it as http://127.0.0.1:9334";
    let url = Url::parse(text).map_err(|error| Failure::Misused(format!("{text:?} is no address: {error}; {help}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Failure::Misused(format!("{text:?} is no address of an admin API; {help}")));
    }
    Ok(url)
}

/// Where to knock for a proxy that listens there.
fn address(listen: SocketAddr, config: &Path) -> Result<Url, Failure> {
    if listen.port() == 0 {
        let what = "lets the system choose the admin API's port; see the proxy's log for it, and name it with --url";
        return Err(Failure::Misused(format!("config {} {what}", config.display())));
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    parse(&format!("http://{}", SocketAddr::new(ip, listen.port())))
}

impl Caller {
    fn new(mut url: Url, token: &str, token_from: String) -> Result<Self, Failure> {
        // A name and password in the address would go out beside the token, and be printed.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Failure::Misused(
                "the address has a user name in it; the token goes into HASHGATE_TOKEN".to_owned(),
            ));
        }
        url.set_query(None);
        url.set_fragment(None);
        let is_here = match url.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() == "http" && !is_here {
            eprintln!(
                "hashgate: the token crosses the network to {url} in plain text; https:// or a tunnel would hide it"
            );
        }
        let client =
            HttpClient::new(url.scheme() == "https", None).map_err(|error| Failure::Failed(error.to_string()))?;
        let mut bearer = header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            Failure::Misused(format!("the token of {token_from} has characters that no header can have"))
        })?;
        bearer.set_sensitive(true);
        let json = header::HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer), (header::CONTENT_TYPE, json)]);
        Ok(Self { client, url, headers, token_from })
    }

    /// Looks at something. `path` are segments behind `/api/v1`.
    ///
    /// # Errors
    /// [`Failure`], in a sentence.
    pub async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Failure> {
        let mut url = self.at(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(Method::GET, &url, Bytes::new()).await
    }

    /// Listens to events: those behind this one, if one is named, and all from now on.
    ///
    /// # Errors
    /// [`Failure`], in a sentence.
    pub async fn listen(&self, last: Option<&str>) -> Result<Incoming, Failure> {
        let url = self.at(&["events"]);
        let mut headers = self.headers.clone();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static("text/event-stream"));
        if let Some(last) = last.and_then(|last| header::HeaderValue::from_str(last).ok()) {
            headers.insert("last-event-id", last);
        }
        let question = Question { method: Method::GET, url, headers, body: Bytes::new() };
        match self.client.open(question, PATIENCE).await.map_err(|error| self.unreached(&error))? {
            Opened::Stream(body) => Ok(body),
            Opened::Answer(answer) => {
                let value = serde_json::from_slice(&answer.body).ok();
                Err(self.judge(answer.status, value).err().unwrap_or_else(|| self.stranger(answer.status)))
            }
        }
    }

    /// Where it is.
    pub fn here(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// Orders something.
    ///
    /// # Errors
    /// [`Failure`], in a sentence.
    pub async fn order(&self, method: Method, path: &[&str], body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| Failure::Failed(error.to_string()))?;
        self.ask(method, &self.at(path), body.into()).await
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.url.clone();
        // A miner's name may have anything in it, line ends too, which `path_segments_mut` would leave out.
        let path: String = path.iter().map(|part| format!("/{}", utf8_percent_encode(part, SEGMENT))).collect();
        url.set_path(&format!("{}/api/v1{path}", self.url.path().trim_end_matches('/')));
        url
    }

    async fn ask(&self, method: Method, url: &Url, body: Bytes) -> Result<Value, Failure> {
        let (status, answer) = self.send(method, url, body).await?;
        self.judge(status, answer)
    }

    async fn send(&self, method: Method, url: &Url, body: Bytes) -> Result<(StatusCode, Option<Value>), Failure> {
        let question = Question { method, url: url.clone(), headers: self.headers.clone(), body };
        let sent = self.client.ask(question, MAX_ANSWER, PATIENCE).await;
        let answer = sent.map_err(|error| self.unreached(&error))?;
        Ok((answer.status, serde_json::from_slice(&answer.body).ok()))
    }

    fn unreached(&self, error: &HttpError) -> Failure {
        let here = self.here();
        Failure::Failed(match error {
            HttpError::Connection(why) => format!(
                "no proxy answers at {here}: is it running, and is [admin] in its config? ({})",
                why.trim_start_matches("client error (Connect): ")
            ),
            HttpError::Timeout(_) => {
                format!("{here}: {error}; what was ordered may still be done: see `hashgate groups`")
            }
            _ => format!("{here}: {error}"),
        })
    }

    /// The answer, or what a refusal says.
    fn judge(&self, status: StatusCode, value: Option<Value>) -> Result<Value, Failure> {
        let here = self.here();
        if status == StatusCode::OK {
            return value.ok_or_else(|| self.stranger(status));
        }
        let word = |key: &str| value.as_ref().and_then(|value| value[key].as_str());
        let (Some(error), Some(reason)) = (word("error"), word("reason")) else {
            return Err(self.stranger(status));
        };
        let error = error.lines().map(printable).collect::<Vec<_>>().join("\n");
        Err(match status {
            StatusCode::UNAUTHORIZED => Failure::Misused(format!(
                "the proxy at {here} does not take the token of {}: was it changed since the proxy read its config (SIGHUP makes it read again), or is this another proxy?",
                self.token_from
            )),
            StatusCode::TOO_MANY_REQUESTS => Failure::Failed(format!(
                "the proxy at {here} has seen too many wrong tokens, and the token of {} is one; wait a minute",
                self.token_from
            )),
            StatusCode::FORBIDDEN => {
                Failure::Misused(format!("the proxy at {here} does not let {} do this: {error}", self.token_from))
            }
            StatusCode::NOT_FOUND if reason == "not_found" => Failure::Failed(format!(
                "the proxy at {here} does not know this request, it is another version: {error}"
            )),
            StatusCode::UNPROCESSABLE_ENTITY if reason == "bad_config" => Failure::Misused(error),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => Failure::Misused(error),
            _ => Failure::Failed(error),
        })
    }

    fn stranger(&self, status: StatusCode) -> Failure {
        Failure::Failed(format!("{} answers {status}, and not as hashgate does: is another server there?", self.url))
    }
}

/// Reads an answer into its type. Texts in it are made fit for a terminal: names of machines are their owners' to choose.
///
/// # Errors
/// [`Failure`] if it is of another form.
pub fn typed<T: DeserializeOwned>(mut answer: Value) -> Result<T, Failure> {
    clean(&mut answer);
    serde_json::from_value(answer)
        .map_err(|error| Failure::Failed(format!("the proxy's answer is of another version: {error}; --json shows it")))
}

fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = printable(text),
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::Object(values) => values.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_is_one_to_knock_at() {
        let at = |listen: &str| match address(listen.parse().unwrap(), Path::new("hashgate.toml")) {
            Ok(url) => url.to_string(),
            Err(Failure::Misused(why) | Failure::Failed(why)) => why,
            Err(Failure::Unwell) => unreachable!("nobody asked whether it is well"),
        };
        assert_eq!(at("127.0.0.1:9334"), "http://127.0.0.1:9334/");
        assert_eq!(at("0.0.0.0:9334"), "http://127.0.0.1:9334/");
        assert_eq!(at("[::]:9334"), "http://[::1]:9334/");
        assert_eq!(at("10.0.0.7:80"), "http://10.0.0.7/");
        assert!(at("127.0.0.1:0").contains("--url"));
    }

    #[test]
    fn a_group_is_one_segment_of_the_path() {
        let caller = |url: &str| Caller::new(parse(url).ok().unwrap(), "token", String::new()).ok().unwrap();
        let at = |url: &str, group: &str| caller(url).at(&["groups", group, "drain"]).to_string();
        assert_eq!(
            at("http://127.0.0.1:9334", "hall a/b?"),
            "http://127.0.0.1:9334/api/v1/groups/hall%20a%2Fb%3F/drain"
        );
        assert_eq!(at("http://localhost/site/", "hall"), "http://localhost/site/api/v1/groups/hall/drain");
        for wrong in ["9334", "file:///etc/passwd", "127.0.0.1:9334", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(Caller::new(parse("http://me:pass@localhost").ok().unwrap(), "token", String::new()).is_err());
    }

    #[test]
    fn what_machines_are_called_moves_no_cursor() {
        let mut answer = serde_json::json!({ "devices": [{ "name": "\u{1b}[2Jrig\n7" }] });
        clean(&mut answer);
        assert_eq!(answer["devices"][0]["name"], "?[2Jrig?7");
    }
}
