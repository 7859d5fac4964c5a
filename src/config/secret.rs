//! Secrets, and where they come from. A [`Secret`] can be compared and handed on, but prints as `***`
//! wherever it lands: logs, `check`, error texts, `{:?}` of a whole config.
//! Does not encrypt or wipe memory; who can read this process's memory has the pool connection as well.

use std::{
    cell::RefCell,
    env, fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use super::{
    error::{Wrong, shown},
    raw::Section,
    value,
};

/// Bytes of a secret: pools take passwords of a few dozen, and the authorize line must stay under the
/// 1 KiB at which ckpool drops lines.
const MAX_SECRET_BYTES: usize = 256;

/// Bytes of an HTTP header's value: signed tokens have a thousand or two; servers refuse headers over 8 KiB.
const MAX_HEADER_BYTES: usize = 4096;

/// A text that never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret fit for a Stratum line.
    pub(super) fn new(text: String) -> Result<Secret, Wrong> {
        Secret::bounded(text, MAX_SECRET_BYTES)
    }

    fn bounded(text: String, max_bytes: usize) -> Result<Secret, Wrong> {
        if text.len() > max_bytes {
            return Err(Wrong::new(format!("is {} bytes long", text.len()), format!("use at most {max_bytes} bytes")));
        }
        if text.chars().any(char::is_control) {
            return Err(Wrong::new("has control characters or several lines", "use one line of plain text"));
        }
        Ok(Secret(text))
    }

    /// The text itself, for the peer that it is meant for and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A text of one line, as long as a header may be.
impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Secret::bounded(text.to_owned(), MAX_HEADER_BYTES).map_err(|wrong| format!("{}; {}", wrong.what, wrong.help))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The world outside the config text.
pub trait Env {
    /// An environment variable; `None` when it is not set, or is no text.
    fn var(&self, name: &str) -> Option<String>;

    /// The text of a small file.
    ///
    /// # Errors
    /// What the system says of a file that is not there, not readable, not text or too large.
    fn read_file(&self, path: &Path) -> io::Result<String>;

    /// The text of a list, which may be large.
    ///
    /// # Errors
    /// As [`Env::read_file`].
    fn read_list(&self, path: &Path, max_bytes: u64) -> io::Result<String> {
        let _ = max_bytes;
        self.read_file(path)
    }
}

/// This process's environment; relative paths start at `folder`.
#[derive(Debug, Clone)]
pub struct ProcessEnv {
    /// The config file's folder.
    pub folder: PathBuf,
}

impl Env for ProcessEnv {
    fn var(&self, name: &str) -> Option<String> {
        env::var(name).ok()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        // One byte of grace each for `\r` and `\n`.
        read_bounded(&self.folder.join(path), MAX_SECRET_BYTES as u64 + 2)
    }

    fn read_list(&self, path: &Path, max_bytes: u64) -> io::Result<String> {
        read_bounded(&self.folder.join(path), max_bytes)
    }
}

/// As [`ProcessEnv`], and notes which files were asked for.
pub(super) struct Noting {
    env: ProcessEnv,
    files: RefCell<Vec<PathBuf>>,
}

impl Noting {
    /// `config` is the first of them.
    pub fn new(env: ProcessEnv, config: &Path) -> Self {
        Self { env, files: RefCell::new(vec![config.to_owned()]) }
    }

    /// All of them, each once.
    pub fn into_files(self) -> Vec<PathBuf> {
        self.files.into_inner()
    }

    fn note(&self, path: &Path) {
        let path = self.env.folder.join(path);
        let mut files = self.files.borrow_mut();
        if !files.contains(&path) {
            files.push(path);
        }
    }
}

impl Env for Noting {
    fn var(&self, name: &str) -> Option<String> {
        self.env.var(name)
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        self.note(path);
        self.env.read_file(path)
    }

    fn read_list(&self, path: &Path, max_bytes: u64) -> io::Result<String> {
        self.note(path);
        self.env.read_list(path, max_bytes)
    }
}

/// The secret under one of three keys: as text, as the name of a variable, as the path of a file. `None` if there is none, or if
/// a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, keys: [&'static str; 3], env: &dyn Env) -> Option<Secret> {
    let given: Vec<&str> = keys.into_iter().filter(|key| section.has(key)).collect();
    if let [first, second, ..] = given[..] {
        let help = format!("keep one of {}, {} and {}", keys[0], keys[1], keys[2]);
        section.error(second, Wrong::new(format!("{first} is there too"), help));
    }
    let plain = section.optional(keys[0], value::parsed("\"x\"", |text| Secret::new(text.to_owned())));
    let variable = section.optional(keys[1], value::parsed("the variable's name", |name| from_variable(name, env)));
    let file = section.optional(keys[2], value::parsed("the file's path", |path| from_file(path, env)));
    plain.or(variable).or(file)
}

/// A text in which `${NAME}` stands for an environment variable: a header's value.
pub(super) fn expanded(text: &str, env: &dyn Env) -> Result<Secret, Wrong> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let Some((name, after)) = behind.split_once('}') else {
            return Err(Wrong::new("has ${ without }", "write \"Bearer ${VARIABLE}\""));
        };
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err(Wrong::new("has no variable's name in ${}", "write \"Bearer ${VARIABLE}\""));
        }
        let Some(value) = env.var(name).filter(|value| !value.is_empty()) else {
            let what = format!("the environment variable {} is not set, or empty", shown(name));
            return Err(Wrong::new(what, "set it where hashgate is started"));
        };
        whole.push_str(before);
        whole.push_str(&value);
        rest = after;
    }
    whole.push_str(rest);
    Secret::bounded(whole, MAX_HEADER_BYTES)
}

/// The secret in an environment variable. Names are not quoted in errors, here and below: operators write
/// the password itself in their place.
pub(super) fn from_variable(name: &str, env: &dyn Env) -> Result<Secret, Wrong> {
    const HELP: &str = "write the variable's name, and set it to the secret where hashgate is started";
    match env.var(name) {
        None => Err(Wrong::new("names an environment variable that is not set", HELP)),
        Some(text) if text.is_empty() => Err(Wrong::new("names an environment variable that is empty", HELP)),
        Some(text) => Secret::new(text),
    }
}

/// The secret in a file, without the newline at its end.
pub(super) fn from_file(path: &str, env: &dyn Env) -> Result<Secret, Wrong> {
    const HELP: &str = "write the path of a file with the secret on its only line, readable to hashgate's user";
    let text = env
        .read_file(Path::new(path))
        .map_err(|error| Wrong::new(format!("names a file that cannot be read: {error}"), HELP))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Wrong::new("names a file that is empty", HELP));
    }
    Secret::new(line.to_owned())
}

/// The whole text of a file of at most `max_bytes`.
pub(super) fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<String> {
    let mut text = String::new();
    // One byte more than allowed, so that a file which is too long shows; devices without an end stop here too.
    File::open(path)?.take(max_bytes + 1).read_to_string(&mut text)?;
    if text.len() as u64 > max_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {max_bytes} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("hunter2".into()).unwrap();
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn variables_stand_inside_a_header() {
        struct One;
        impl Env for One {
            fn var(&self, name: &str) -> Option<String> {
                (name == "TOKEN").then(|| "hunter2".to_owned())
            }
            fn read_file(&self, _: &Path) -> io::Result<String> {
                Err(io::ErrorKind::NotFound.into())
            }
        }
        let exposed = |text: &str| expanded(text, &One).map(|secret| secret.expose().to_owned());
        assert_eq!(exposed("Bearer ${TOKEN}!").unwrap(), "Bearer hunter2!");
        assert_eq!(exposed("text/plain").unwrap(), "text/plain");
        assert!(exposed("${OTHER}").unwrap_err().what.contains("\"OTHER\" is not set"));
        for wrong in ["${TOKEN", "${}", "${A B}", "a\nb"] {
            assert!(exposed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_file_loses_its_newline_and_may_not_be_large() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let env = ProcessEnv { folder: file.path().parent().unwrap().to_owned() };
        let name = file.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(from_file(&name, &env).unwrap_err().what.contains("is empty"));
        file.write_all(b"hunter2\r\n").unwrap();
        assert_eq!(from_file(&name, &env).unwrap().expose(), "hunter2");
        file.write_all(&[b'x'; 1000]).unwrap();
        assert!(from_file(&name, &env).unwrap_err().what.contains("larger than 258 bytes"));
        assert!(from_file("no-such-file", &env).unwrap_err().what.contains("cannot be read"));
    }

    #[test]
    fn a_secret_of_two_lines_is_refused_without_showing_it() {
        let wrong = Secret::new("hunter2\nhunter3".into()).unwrap_err();
        assert!(!format!("{wrong:?}").contains("hunter"));
    }
}
