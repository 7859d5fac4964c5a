//! The terminal behind standard output: whether there is one, how large it is, what may be coloured, and a screen that is drawn anew and anew.
//!
//! | standard output is | then |
//! |---|---|
//! | a terminal | its size counts; colours, unless `NO_COLOR` is set or `TERM` is `dumb` |
//! | anything else | 80 columns, no colours, no cursor is moved |
//! | a pipe that nobody reads any more | whoever writes has done enough |

use std::io::{self, IsTerminal, Write};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::tcgetwinsize,
};
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

use super::Failure;

/// What a terminal has that does not say.
const COLUMNS: usize = 80;
const LINES: usize = 24;

/// Nothing is readable below.
const FEWEST_COLUMNS: usize = 40;

/// How text looks on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What fits beside each other.
    pub columns: usize,
    /// What fits below each other; `None` where nothing is a screen.
    pub lines: Option<usize>,
    has_colours: bool,
}

/// How a word is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// A heading.
    Bold,
    /// All is well.
    Green,
    /// Somebody should look.
    Yellow,
    /// Somebody must act.
    Red,
}

impl Look {
    /// Of standard output, now.
    pub fn now() -> Self {
        let out = io::stdout();
        if !out.is_terminal() {
            return Self { columns: COLUMNS, lines: None, has_colours: false };
        }
        let size = tcgetwinsize(&out).ok();
        let or = |said: Option<u16>, default: usize| said.map(usize::from).filter(|said| *said > 0).unwrap_or(default);
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            columns: or(size.map(|size| size.ws_col), COLUMNS).max(FEWEST_COLUMNS),
            lines: Some(or(size.map(|size| size.ws_row), LINES)),
            has_colours: !is_set("NO_COLOR") && !is_dumb,
        }
    }

    /// The same where what is printed may scroll.
    pub fn without_end(self) -> Self {
        Self { lines: None, ..self }
    }

    /// The text in a colour, where colours are wanted.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            _ if !self.has_colours => return text.to_owned(),
            Colour::Bold => 1,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Writes to standard output at once. `false` if nobody reads it any more.
///
/// # Errors
/// [`Failure`] if it can't be written for another reason: a disk is full.
pub fn tell(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Failed(format!("standard output: {error}"))),
    }
}

/// Whether standard output is a pipe that nobody reads any more. Asks without writing, for who may have nothing to say for hours.
pub fn is_unread() -> bool {
    let out = io::stdout();
    let mut out = [PollFd::new(&out, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut out, Some(&at_once)).is_ok_and(|_| out[0].revents().contains(PollFlags::ERR))
}

/// A screen of its own, behind which what was there before comes back when it ends.
pub struct Screen(());

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// As [`tell`].
    pub fn open() -> Result<Self, Failure> {
        // The alternate screen, without a cursor.
        tell("\u{1b}[?1049h\u{1b}[?25l")?;
        Ok(Self(()))
    }

    /// Draws over what is there, so that nothing flickers.
    ///
    /// # Errors
    /// As [`tell`].
    pub fn draw(&self, text: &str) -> Result<bool, Failure> {
        let mut drawn = String::from("\u{1b}[H");
        for line in text.lines() {
            // What was longer before is wiped out.
            drawn.extend([line, "\u{1b}[K\r\n"]);
        }
        drawn.push_str("\u{1b}[J");
        tell(&drawn)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = tell("\u{1b}[?25h\u{1b}[?1049l");
    }
}

/// Hears that it is to end, by Ctrl-C or otherwise: who has taken the terminal gives it back.
pub struct Ending([Signal; 3]);

impl Ending {
    /// From now on.
    ///
    /// # Errors
    /// [`Failure`] if the system gives no word of signals.
    pub fn listen() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(|error| Failure::Failed(format!("can't listen for signals: {error}")));
        Ok(Self([hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?, hear(SignalKind::hangup())?]))
    }

    /// Returns when it is to end.
    pub async fn told(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
