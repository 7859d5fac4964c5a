//! `[admin]`: where the admin API listens, and the token that opens it.

use std::net::SocketAddr;

use super::{Env, Secret, error::Wrong, raw::Section, secret, validate::socket_address, value};

/// Where it listens unless told otherwise: beside the metrics, on this machine alone.
const DEFAULT_LISTEN: &str = "127.0.0.1:9334";

/// Bytes of the shortest token: 16 random ones can't be guessed, and hex makes 32 of them.
const MIN_TOKEN_BYTES: usize = 16;

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The address bound.
    pub listen: SocketAddr,
    /// What a client shows in `Authorization: Bearer …`.
    pub token: Secret,
}

/// `[admin]`. `None` only if a problem was reported: without a token nothing is bound, on no address.
pub(super) fn read(mut section: Section<'_, '_>, env: &dyn Env) -> Option<Admin> {
    const KEYS: [&str; 3] = ["token", "token_env", "token_file"];
    const HELP: &str = "write token_env = \"HASHGATE_TOKEN\" and set it to what `openssl rand -hex 32` prints";
    let default = socket_address(DEFAULT_LISTEN).ok();
    let listen = section.optional("listen", value::parsed("\"127.0.0.1:9334\"", socket_address));
    let listen = if section.has("listen") { listen } else { default };
    let token = secret::read(&mut section, KEYS, env);
    if !KEYS.iter().any(|key| section.has(key)) {
        section.error(
            "token_env",
            Wrong::new("is missing: whoever reaches the API without a token could switch the site", HELP),
        );
    }
    if let Some(token) = &token
        && token.expose().len() < MIN_TOKEN_BYTES
    {
        let key = KEYS.into_iter().find(|key| section.has(key)).unwrap_or(KEYS[1]);
        section.error(key, Wrong::new(format!("is shorter than {MIN_TOKEN_BYTES} bytes and could be guessed"), HELP));
    }
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        section.warn(
            "listen",
            Wrong::new(
                "the admin API is open to the network, and its token crosses it in plain text",
                "listen on 127.0.0.1 behind a proxy with TLS, or keep it inside a VPN",
            ),
        );
    }
    section.refuse_unknown_keys();
    Some(Admin { listen: listen?, token: token? })
}

#[cfg(test)]
mod tests {
    use crate::config::{
        Config,
        validate::tests::{MINIMAL, NoEnv, lines},
    };

    fn errors(admin: &str) -> Vec<String> {
        lines(&Config::parse(&format!("{MINIMAL}[admin]\n{admin}"), &NoEnv).unwrap_err())
    }

    #[test]
    fn nothing_is_bound_without_a_token() {
        for listen in ["", "listen = \"127.0.0.1:0\"\n", "listen = \"0.0.0.0:9334\"\n"] {
            assert!(errors(listen)[0].contains("admin.token_env: is missing"), "{listen}");
        }
        assert!(errors("token = \"hunter2\"\n")[0].contains("shorter than 16 bytes"));
        assert!(errors("token_env = \"HASHGATE_TOKEN\"\n")[0].contains("not set"));
    }

    #[test]
    fn it_is_on_this_machine_unless_told_otherwise_and_says_what_that_means() {
        let text = |listen: &str| format!("{MINIMAL}[admin]\n{listen}token = \"0123456789abcdef\"\n");
        let (config, warnings) = Config::parse(&text(""), &NoEnv).unwrap();
        assert_eq!((config.admin.unwrap().listen.to_string(), warnings.len()), ("127.0.0.1:9334".to_owned(), 0));
        let (config, warnings) = Config::parse(&text("listen = \"0.0.0.0:9334\"\n"), &NoEnv).unwrap();
        assert!(warnings[0].to_string().contains("open to the network"));
        assert!(!format!("{config:?}").contains("0123456789"));
    }
}
