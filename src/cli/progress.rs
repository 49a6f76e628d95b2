//! What a command waits for, on standard error: one line that changes on a terminal, a line for each state elsewhere.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use super::terminal::{FAINT, Terminal, tell};

/// How long a wait may take before anything is said.
const SILENT: Duration = Duration::from_millis(700);
/// How often the line of a terminal is drawn again.
const DRAWN: Duration = Duration::from_millis(120);
/// What turns in front of the line of a terminal.
const TURNS: [char; 4] = ['|', '/', '-', '\\'];
/// The bytes that empty the line of a terminal.
const EMPTY: &str = "\r\u{1b}[K";

/// Says what is waited for.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: Terminal,
    begun: Instant,
    /// The state, and the words about it.
    now: (String, String),
    /// The state that was said last.
    said: Option<String>,
    drawn: usize,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self::on(Terminal::stderr())
    }

    const fn empty() -> (String, String) {
        (String::new(), String::new())
    }

    fn on(terminal: Terminal) -> Self {
        Self { terminal, begun: Instant::now(), now: Self::empty(), said: None, drawn: 0 }
    }

    /// How long the caller may wait before it calls [`Self::draw`] again.
    pub(super) const fn pause(&self) -> Duration {
        if self.terminal.interactive { DRAWN } else { SILENT }
    }

    /// Sets what is waited for. Elsewhere than on a terminal only another state is another line.
    pub(super) fn set(&mut self, state: &str, words: &str) {
        self.now = (state.to_owned(), words.to_owned());
    }

    /// Writes what is waited for.
    pub(super) fn draw(&mut self) {
        if let Some(text) = self.text(self.begun.elapsed()) {
            if self.terminal.interactive {
                let mut err = std::io::stderr().lock();
                drop(write!(err, "{EMPTY}{text}").and_then(|()| err.flush()));
            } else {
                tell(&text);
            }
        }
    }

    fn text(&mut self, waited: Duration) -> Option<String> {
        let (state, words) = &self.now;
        if words.is_empty() || (waited < SILENT && self.said.is_none()) {
            return None;
        }
        if !self.terminal.interactive {
            if self.said.as_ref() == Some(state) {
                return None;
            }
            self.said = Some(state.clone());
            return Some(format!("{words} ({} s)", waited.as_secs()));
        }
        self.said = Some(state.clone());
        self.drawn += 1;
        let turn = TURNS[self.drawn % TURNS.len()];
        let end = format!(" ({} s)", waited.as_secs());
        // A line that is longer than the terminal would not be replaced, but scroll.
        let room = self.terminal.width.unwrap_or(80).saturating_sub(end.len() + 3);
        let short: String = words.chars().take(room).collect();
        Some(self.terminal.paint(FAINT, &format!("{turn} {short}{end}")))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal.interactive && self.drawn > 0 {
            empty_line();
        }
    }
}

/// Empties the line of a terminal, for something else to be written there.
pub(super) fn empty_line() {
    if Terminal::stderr().interactive {
        let mut err = std::io::stderr().lock();
        drop(write!(err, "{EMPTY}").and_then(|()| err.flush()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn without_a_terminal_each_state_has_one_line() {
        let mut progress = Progress::on(Terminal::default());
        progress.set("Pending", "deploy: Pending");
        assert_eq!(progress.text(Duration::ZERO), None, "what is quick is not worth a word");
        assert_eq!(progress.text(seconds(1)).as_deref(), Some("deploy: Pending (1 s)"));
        progress.set("Pending", "deploy: Pending: still");
        assert_eq!(progress.text(seconds(2)), None);
        progress.set("Running", "deploy: Running");
        assert_eq!(progress.text(seconds(3)).as_deref(), Some("deploy: Running (3 s)"));
    }

    #[test]
    fn on_a_terminal_the_line_turns_and_fits() {
        let narrow = Terminal { interactive: true, colour: false, width: Some(20) };
        let mut progress = Progress::on(narrow);
        progress.set("Running", "deploy: Running and more");
        assert_eq!(progress.text(seconds(4)).as_deref(), Some("/ deploy: Run (4 s)"));
        assert_eq!(progress.text(seconds(5)).as_deref(), Some("- deploy: Run (5 s)"));
        // The test itself writes to no terminal.
        progress.drawn = 0;
    }
}
