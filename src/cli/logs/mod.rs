//! `kubectl longshore logs`: the log as the script wrote it.
//!
//! | file | what is in it |
//! |---|---|
//! | [`place`] | which attempt is meant, and where its log may be |
//! | [`request`] | what is asked of a place, and how it answers |
//! | [`live`] | reads it from the pod, with the caller's right on `pods/log` |
//! | [`server`] | reads it from the log server, with the caller's right on the action's log |
//! | [`paper`] | what is printed |
//! | [`safe`] | keeps a log from acting on a terminal |
//! | [`events`] | what Kubernetes says about the pod meanwhile |

mod events;
mod live;
mod paper;
mod place;
mod request;
mod safe;
mod server;

use std::str::FromStr;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use futures::future::{self, Either};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::Sender;

pub(super) use self::paper::Sink;
use self::{
    paper::Paper,
    place::{Place, places},
    request::{Read, Wish},
};
use super::{
    connect::Session,
    error::CliError,
    terminal::{Terminal, print, tell},
    wait_for,
};
use crate::{
    api::DeploymentAction,
    reading::{Format, Selection, Shape},
};

/// What lines of standard error begin with on a terminal: a red bar.
const STDERR_MARK: &str = "\u{1b}[31m|\u{1b}[0m ";

/// Prints the log of a run.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Logs {
    /// The action's name.
    name: String,
    /// Go on until the script has ended. Before it starts, say what it waits for.
    #[arg(short, long)]
    follow: bool,
    /// The run's number. Default: the latest run.
    #[arg(long, value_name = "N")]
    run: Option<u32>,
    /// The attempt's number within the run, or `all`. Default: the last attempt.
    #[arg(long, value_name = "N|all")]
    attempt: Option<WhichAttempt>,
    /// Only the last lines.
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
    /// Only lines that were written since then: a time such as 2026-01-31T10:42:00Z, or a time ago such as 5m.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Begin each line with the time at which it was written.
    #[arg(short, long)]
    timestamps: bool,
    /// The form: the text of the script, or a JSON object for each piece of it.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
    /// Exit with the script's exit code.
    #[arg(long)]
    exit_code: bool,
    /// Also print on a terminal what moves the cursor or sets the title.
    #[arg(long)]
    raw: bool,
    /// Print what Kubernetes says about the pod, on standard error. On a terminal, --follow does it by itself.
    #[arg(long)]
    events: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Jsonl,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichAttempt {
    All,
    Number(u32),
}

impl FromStr for WhichAttempt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(number)) if number > 0 => Ok(Self::Number(number)),
            _ => Err("write a number from 1, or `all`".to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Time(Timestamp),
    Ago(SignedDuration),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        text.parse().ok().filter(SignedDuration::is_positive).map(Self::Ago).ok_or_else(|| {
            "write a time such as 2026-01-31T10:42:00Z, or how long ago, such as 30s, 5m or 2h".to_owned()
        })
    }
}

impl Logs {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let wish = self.wish(Timestamp::now());
        let mut action = session.action(&self.name).await?;
        if self.follow {
            action = place::has_begun(session, action, self.run).await?;
        }
        let attempts = match self.attempt {
            Some(WhichAttempt::All) => places(&action, self.run, None, true)?,
            Some(WhichAttempt::Number(number)) => places(&action, self.run, Some(number), false)?,
            None => places(&action, self.run, None, false)?,
        };
        let several = attempts.len() > 1;
        for place in &attempts {
            if several {
                tell(&format!("attempt {}", place.attempt));
            }
            read(session, place, wish).await?;
        }
        match attempts.last() {
            Some(place) if self.exit_code => exit_code(session, place).await,
            _ => Ok(()),
        }
    }

    fn wish(&self, now: Timestamp) -> Wish {
        let out = Terminal::stdout();
        let since = self.since.map(|since| match since {
            Since::Time(time) => time,
            Since::Ago(ago) => now.saturating_sub(ago).unwrap_or(now),
        });
        let text = self.output == Form::Text;
        Wish {
            follow: self.follow,
            shape: Shape {
                format: if text { Format::Text } else { Format::JsonLines },
                timestamps: self.timestamps,
                stderr_mark: if out.colour && text { STDERR_MARK } else { "" },
            },
            selection: Selection { tail_lines: self.tail, since },
            safe: out.interactive && text && !self.raw,
            events: self.events || (self.follow && Terminal::stderr().interactive),
            from: 0,
        }
    }
}

/// Prints the log of a run of an action from its beginning, until the run has ended.
pub(super) async fn follow(session: &Session, name: &str, run: u32) -> Result<(), CliError> {
    let logs = Logs {
        name: name.to_owned(),
        follow: true,
        run: Some(run),
        attempt: None,
        tail: None,
        since: None,
        timestamps: false,
        output: Form::Text,
        exit_code: false,
        raw: false,
        events: false,
    };
    Box::pin(logs.run(session)).await
}

/// What somebody else than a terminal wants of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The run's number. Without it, the latest one.
    pub(super) run: Option<u32>,
    /// The attempt's number. Without it, the last one.
    pub(super) attempt: Option<u32>,
    /// The form.
    pub(super) format: Format,
    /// What is in front of this frame is left out.
    pub(super) from: u64,
}

/// Gives the log of an attempt to a reader. A log that goes on is followed to its end if `follow` is set.
///
/// # Errors
/// There is no such attempt, or its log cannot be read.
pub(super) async fn give(
    session: &Session,
    action: &DeploymentAction,
    wanted: Wanted,
    follow: bool,
    reader: Sender<Bytes>,
) -> Result<(), CliError> {
    let wish = Wish {
        follow,
        shape: Shape { format: wanted.format, ..Shape::default() },
        selection: Selection::default(),
        safe: false,
        events: false,
        from: wanted.from,
    };
    let sink = Sink::Reader(reader);
    for place in &places(action, wanted.run, wanted.attempt, false)? {
        Box::pin(read_text(session, place, wish, &sink)).await?;
    }
    Ok(())
}

/// Prints one log, from the first place that has it.
async fn read(session: &Session, place: &Place, wish: Wish) -> Result<(), CliError> {
    let Some(pod) = place.pod.clone().filter(|_| wish.events) else {
        return read_text(session, place, wish, &Sink::Stdout).await;
    };
    let text = std::pin::pin!(read_text(session, place, wish, &Sink::Stdout));
    let events = std::pin::pin!(events::tell_all(session, &pod));
    match future::select(text, events).await {
        Either::Left((read, _)) => read,
        Either::Right(((), text)) => text.await,
    }
}

async fn read_text(session: &Session, place: &Place, wish: Wish, sink: &Sink) -> Result<(), CliError> {
    let mut paper = Paper::new(wish, sink.clone());
    let live = match &place.pod {
        Some(pod) => live::read(session, pod, wish, &mut paper, false).await?,
        None => Read::NotHere(format!("attempt {} of run {} has no pod", place.attempt, place.run)),
    };
    let why = match live {
        Read::Done => return Ok(()),
        Read::Rotated => "its node has rotated the beginning away".to_owned(),
        Read::NotHere(ref why) => why.clone(),
    };
    let why_not = match server::read(session, place, wish, &mut paper).await? {
        Read::Done => return Ok(()),
        Read::NotHere(why) => why,
        Read::Rotated => String::new(),
    };
    if let (Read::Rotated, Some(pod)) = (live, &place.pod) {
        // What there is, with the gap named.
        let mut paper = Paper::new(wish, sink.clone());
        return live::read(session, pod, wish, &mut paper, true).await.map(|_| ());
    }
    match &place.tail {
        Some(tail) => {
            paper.tell(&format!("{why}; {why_not}\nthese are the last lines, from the action's status"));
            if matches!(sink, Sink::Stdout) {
                return print(&if wish.safe { safe::whole(tail) } else { tail.clone() });
            }
            paper.tail(tail);
            paper.flush().await
        }
        None => Err(CliError::Failed(format!(
            "the log of run {}, attempt {} cannot be read: {why}; {why_not}\nkubectl longshore describe {} says how the run ended",
            place.run, place.attempt, place.name
        ))),
    }
}

/// Ends the program as the script ended.
async fn exit_code(session: &Session, place: &Place) -> Result<(), CliError> {
    let action = session.action(&place.name).await?;
    let action = wait_for::end_of_run(session, action, place.run).await?;
    let code = place::exit_code(&action, place.run).ok_or_else(|| {
        CliError::Failed(format!(
            "run {} of {} has no exit code\nkubectl longshore describe {} says how it ended",
            place.run, place.name, place.name
        ))
    })?;
    if code == 0 { Ok(()) } else { Err(CliError::Ended(u8::try_from(code).unwrap_or(1))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_attempts_are_read() {
        assert_eq!("5m".parse(), Ok(Since::Ago(SignedDuration::from_mins(5))));
        let time = "2026-01-31T10:42:00Z";
        assert_eq!(time.parse(), Ok(Since::Time(time.parse().unwrap())));
        for wrong in ["", "-5m", "0s", "yesterday"] {
            assert!(wrong.parse::<Since>().is_err(), "{wrong}");
        }
        assert_eq!("all".parse(), Ok(WhichAttempt::All));
        assert_eq!("2".parse(), Ok(WhichAttempt::Number(2)));
        assert!("0".parse::<WhichAttempt>().is_err() && "last".parse::<WhichAttempt>().is_err());
    }
}
