//! The stages of a run, for metrics and traces.

use k8s_openapi::jiff::Timestamp;

use crate::operator::pod::trace_context::SCRIPT;

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From when the operator takes the run up until the run has its lock.
    Queue,
    /// From the first question for the image until it is pinned and everything is recorded.
    Resolve,
    /// From then until the pod is created.
    Launch,
    /// From then until the container is seen running: scheduling, pulling, mounting.
    Start,
    /// From then until this process has the exit record: the script's own time, and the time to open and read
    /// its log.
    Follow,
    /// The script's own time, by the runner's clock. It is a part of the previous stage.
    Script,
    /// From the arrival of the exit record until the verdict is in the status.
    Finish,
    /// From the arrival of the exit record until the log is read to its end.
    Collect,
}

impl Stage {
    /// The name as a label, and as a span.
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

/// A stage of a run, and when it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The stage.
    pub stage: Stage,
    /// The attempt that it belongs to.
    pub attempt: u32,
    /// When it began.
    pub begin: Timestamp,
    /// When it ended.
    pub end: Timestamp,
}
