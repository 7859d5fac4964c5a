//! `[admin]`: where the admin API listens, and the tokens that open it.
//!
//! | token | opens |
//! |---|---|
//! | `token` | everything: who has it can move the site |
//! | `read_token` | what is only looked at |
//! | `signal_token` | sending signals, and nothing else |
//!
//! Each is given as text, by an environment variable (`_env`) or by a file (`_file`). No two are the same, because a token that is two
//! things is the stronger one.

use std::{net::SocketAddr, path::Path};

use super::{
    Env, LoadError, MAX_CONFIG_BYTES, ProcessEnv, Secret,
    error::Wrong,
    raw::{Report, Section},
    secret,
    validate::socket_address,
    value,
};

/// Where it listens unless told otherwise: beside the metrics, on this machine alone.
const DEFAULT_LISTEN: &str = "127.0.0.1:9334";

/// Bytes of the shortest token: 16 random ones can't be guessed, and hex makes 32 of them.
const MIN_TOKEN_BYTES: usize = 16;

/// `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The address bound.
    pub listen: SocketAddr,
    /// What a client shows in `Authorization: Bearer …` that may do everything.
    pub token: Secret,
    /// The same of one that may only look.
    pub read_token: Option<Secret>,
    /// The same of one that may only send signals.
    pub signal_token: Option<Secret>,
}

impl Admin {
    /// Reads `[admin]` alone, for a client of the API: other parts may need what only the proxy's user has, as passwords in variables.
    /// `None` if the file has no such section.
    ///
    /// # Errors
    /// [`LoadError`] when the file cannot be read, or with everything that is wrong with the section.
    pub fn load(path: &Path) -> Result<Option<Self>, LoadError> {
        let text = secret::read_bounded(path, MAX_CONFIG_BYTES)
            .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let env = ProcessEnv { folder: path.parent().unwrap_or(Path::new("")).to_owned() };
        let report = Report::new(&text);
        let admin =
            report.parse().and_then(|document| match Section::root(&report, &document).optional_table("admin") {
                Some(section) => read(section, &env).map(Some),
                None => Some(None),
            });
        let read = report.finish(admin).map_err(|errors| LoadError::Invalid { path: path.to_owned(), errors });
        read.map(|(admin, _)| admin)
    }
}

/// The keys of one token.
type Keys = [&'static str; 3];

const TOKEN: Keys = ["token", "token_env", "token_file"];
const READ_TOKEN: Keys = ["read_token", "read_token_env", "read_token_file"];
const SIGNAL_TOKEN: Keys = ["signal_token", "signal_token_env", "signal_token_file"];

const HELP: &str = "write token_env = \"HASHGATE_TOKEN\" and set it to what `openssl rand -hex 32` prints";

/// `[admin]`. `None` only if a problem was reported: without a token nothing is bound, on no address.
pub(super) fn read(mut section: Section<'_, '_>, env: &dyn Env) -> Option<Admin> {
    let default = socket_address(DEFAULT_LISTEN).ok();
    let listen = section.optional("listen", value::parsed("\"127.0.0.1:9334\"", socket_address));
    let listen = if section.has("listen") { listen } else { default };
    let control = token(&mut section, TOKEN, env);
    if !TOKEN.iter().any(|key| section.has(key)) {
        section.error(
            TOKEN[1],
            Wrong::new("is missing: whoever reaches the API without a token could switch the site", HELP),
        );
    }
    let read_token = token(&mut section, READ_TOKEN, env);
    let signal_token = token(&mut section, SIGNAL_TOKEN, env);
    let given = [(TOKEN, &control), (READ_TOKEN, &read_token), (SIGNAL_TOKEN, &signal_token)];
    for (later, (keys, token)) in given.iter().enumerate() {
        let is_same = |(_, earlier): &&(Keys, &Option<Secret>)| token.is_some() && earlier == token;
        if let Some((earlier, _)) = given[..later].iter().find(is_same) {
            let what = format!("is the same as {}", key_of(&section, *earlier));
            let help = "give each its own: `openssl rand -hex 32` makes one";
            section.error(key_of(&section, *keys), Wrong::new(what, help));
        }
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
    Some(Admin { listen: listen?, token: control?, read_token, signal_token })
}

/// The key that a token is given by.
fn key_of(section: &Section<'_, '_>, keys: Keys) -> &'static str {
    keys.into_iter().find(|key| section.has(key)).unwrap_or(keys[1])
}

fn token(section: &mut Section<'_, '_>, keys: Keys, env: &dyn Env) -> Option<Secret> {
    let token = secret::read(section, keys, env)?;
    if token.expose().len() < MIN_TOKEN_BYTES {
        let key = key_of(section, keys);
        let help = "write what `openssl rand -hex 32` prints";
        section.error(key, Wrong::new(format!("is shorter than {MIN_TOKEN_BYTES} bytes and could be guessed"), help));
    }
    Some(token)
}

#[cfg(test)]
mod tests {
    use crate::config::{
        Admin, Config,
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
    fn each_token_is_its_own_and_as_long_as_the_first() {
        let admin = |rest: &str| errors(&format!("token = \"0123456789abcdef\"\n{rest}"));
        for (rest, wanted) in [
            ("read_token = \"hunter2\"\n", "admin.read_token: is shorter than 16 bytes"),
            ("signal_token = \"hunter2\"\n", "admin.signal_token: is shorter than 16 bytes"),
            ("read_token = \"0123456789abcdef\"\n", "admin.read_token: is the same as token"),
            (
                "read_token = \"read-0123456789abcdef\"\nsignal_token = \"read-0123456789abcdef\"\n",
                "admin.signal_token: is the same as read_token",
            ),
            (
                "read_token_env = \"HASHGATE_READ\"\n",
                "admin.read_token_env: names an environment variable that is not set",
            ),
            ("signal_token_file = \"no\"\n", "admin.signal_token_file: names a file that cannot be read"),
            (
                "read_token = \"read-0123456789abcdef\"\nread_token_env = \"R\"\n",
                "admin.read_token_env: read_token is there too",
            ),
        ] {
            let errors = admin(rest);
            assert!(errors.iter().any(|error| error.contains(wanted)), "{rest}{errors:?}");
        }
        // Without the first, the others open nothing.
        assert!(errors("read_token = \"read-0123456789abcdef\"\n")[0].contains("admin.token_env: is missing"));
        let text = "[admin]\ntoken = \"0123456789abcdef\"\nread_token = \"read-0123456789abcdef\"\n";
        let (config, _) = Config::parse(&format!("{MINIMAL}{text}"), &NoEnv).unwrap();
        let admin = config.admin.unwrap();
        assert_eq!(admin.read_token.as_ref().unwrap().expose(), "read-0123456789abcdef");
        assert_eq!(admin.signal_token, None);
        assert!(!format!("{admin:?}").contains("0123456789"));
    }

    #[test]
    fn a_client_reads_this_section_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashgate.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Admin::load(&path)
        };
        let pool = "[[pool]]\nname = \"eu\"\npassword_env = \"NOBODY_HAS_THIS\"\n";
        std::fs::write(folder.path().join("admin.token"), "0123456789abcdef\n").unwrap();
        let admin = load(&format!("{pool}[admin]\nlisten = \"127.0.0.1:9\"\ntoken_file = \"admin.token\"\n"));
        let admin = admin.unwrap().unwrap();
        assert_eq!((admin.token.expose(), admin.listen.port()), ("0123456789abcdef", 9));
        assert_eq!(load(pool).unwrap(), None);
        assert!(load("[admin]\n").unwrap_err().to_string().contains("admin.token_env: is missing"));
        assert!(load("[admin\n").unwrap_err().to_string().contains("not valid TOML"));
        assert!(Admin::load(&folder.path().join("none.toml")).is_err());
    }

    #[test]
    fn an_address_is_for_one() {
        let token = "token = \"0123456789abcdef\"\n";
        let metrics = "[metrics]\nlisten = \"127.0.0.1:9334\"\n";
        assert!(errors(&format!("{token}{metrics}"))[0].contains("127.0.0.1:9334 is taken by metrics"));
        let listener = "[[listener]]\nlisten = \"127.0.0.1:9334\"\n";
        assert!(errors(&format!("{token}{listener}"))[0].contains("is taken by the admin API"));
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
