//! The parts of a run's time, of which metrics and traces tell.

use k8s_openapi::jiff::Timestamp;

use crate::operator::pod::trace_context::SCRIPT;

/// A part of a run's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From when the run is taken up until it has its lock.
    Queue,
    /// From when the image is first asked for until it is pinned and all is recorded.
    Resolve,
    /// From there until its pod is created.
    Launch,
    /// From there until its container is seen running: scheduling, pulling, mounting.
    Start,
    /// From there until the exit record has arrived, as this process sees it: the script's own time,
    /// and what opening and reading its log add.
    Follow,
    /// The script's own time, by the runner's clock: a part of the one before.
    Script,
    /// From the exit record's arrival until the verdict is in the status.
    Finish,
    /// From the exit record's arrival until the log is read to its end.
    Collect,
}

impl Stage {
    /// As a label, and as a span's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Resolve => "resolve",
            Self::Launch => "launch",
            Self::Start => "start",
            Self::Follow => "follow",
            Self::Script => SCRIPT,
            Self::Finish => "finish",
            Self::Collect => "collect",
        }
    }
}

/// A part of a run's time, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Which.
    pub stage: Stage,
    /// The attempt that it was a part of.
    pub attempt: u32,
    /// When it began.
    pub begin: Timestamp,
    /// When it ended.
    pub end: Timestamp,
}
