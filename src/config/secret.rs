//! Secrets, and where they come from. A [`Secret`] can be compared and handed on, but prints as `***`
//! wherever it lands: logs, `check`, error texts, `{:?}` of a whole config.
//! Does not encrypt or wipe memory; who can read this process's memory has the pool connection as well.

use std::{
    env, fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::error::{Wrong, shown};

/// Bytes of a secret: pools take passwords of a few dozen, and the authorize line must stay under the
/// 1 KiB at which ckpool drops lines.
const MAX_SECRET_BYTES: usize = 256;

/// A text that never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret fit for a Stratum line.
    pub(super) fn new(text: String) -> Result<Secret, Wrong> {
        if text.len() > MAX_SECRET_BYTES {
            return Err(Wrong::new(
                format!("is {} bytes long", text.len()),
                format!("use at most {MAX_SECRET_BYTES} bytes"),
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(Wrong::new("has control characters or several lines", "use one line of plain text"));
        }
        Ok(Secret(text))
    }

    /// The text itself, for the line to the pool and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
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
}

/// The secret in an environment variable.
pub(super) fn from_variable(name: &str, env: &dyn Env) -> Result<Secret, Wrong> {
    // `std::env::var` accepts any name, but an empty one or one with `=` was never set.
    match env.var(name) {
        None => Err(Wrong::new(
            format!("the environment variable {} is not set", shown(name)),
            "set it where hashgate is started",
        )),
        Some(text) if text.is_empty() => {
            Err(Wrong::new(format!("the environment variable {} is empty", shown(name)), "set it to the password"))
        }
        Some(text) => Secret::new(text),
    }
}

/// The secret in a file, without the newline at its end.
pub(super) fn from_file(path: &str, env: &dyn Env) -> Result<Secret, Wrong> {
    let text = env.read_file(Path::new(path)).map_err(|error| {
        Wrong::new(
            format!("cannot read {}: {error}", shown(path)),
            "give hashgate's user a readable file with the password on its only line",
        )
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Wrong::new(format!("{} is empty", shown(path)), "put the password on its only line"));
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
    fn a_password_file_loses_its_newline_and_may_not_be_large() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let env = ProcessEnv { folder: file.path().parent().unwrap().to_owned() };
        let name = file.path().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(from_file(&name, &env).unwrap_err().what.contains("is empty"));
        file.write_all(b"hunter2\r\n").unwrap();
        assert_eq!(from_file(&name, &env).unwrap().expose(), "hunter2");
        file.write_all(&[b'x'; 1000]).unwrap();
        assert!(from_file(&name, &env).unwrap_err().what.contains("larger than 258 bytes"));
        assert!(from_file("no-such-file", &env).unwrap_err().what.contains("cannot read"));
    }

    #[test]
    fn a_secret_of_two_lines_is_refused_without_showing_it() {
        let wrong = Secret::new("hunter2\nhunter3".into()).unwrap_err();
        assert!(!format!("{wrong:?}").contains("hunter"));
    }
}
