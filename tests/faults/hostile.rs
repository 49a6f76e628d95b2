//! A schedule can add these to its faults: a script that attacks its runner, and a node whose clock is wrong.

use longshore::record::VERSION;

/// How a script is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temper {
    Honest,
    /// It ignores every signal that asks.
    Deaf,
    /// Deaf, and a FIFO stands wherever the runner has a file, or will write one.
    Fifo,
    /// It says that it succeeded, with an output, in the runner's name, and has the kernel end the runner.
    Forger,
    /// It says so that it never started.
    Denier,
}

/// How a node's clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Right,
    /// By two hours.
    Behind,
    Ahead,
}

impl Temper {
    pub(crate) const ALL: [Self; 5] = [Self::Honest, Self::Deaf, Self::Fifo, Self::Forger, Self::Denier];

    /// In a schedule's text.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Honest => "",
            Self::Deaf => "+deaf",
            Self::Fifo => "+fifo",
            Self::Forger => "+forger",
            Self::Denier => "+denier",
        }
    }

    /// Its steps before those of its path. The root of a fake node's pod is a folder.
    pub(crate) fn prelude(self) -> String {
        // A sign of life now and then, since one that is killed cannot say when it ended.
        let lives = "trap '' TERM INT HUP\n(while :; do say alive 0; sleep 0.1; done) &\n";
        // Without memory it dies of the next long line. Otherwise the script goes on.
        let kill = "python3 -c 'import resource; resource.prlimit(1, resource.RLIMIT_AS, (4096, 4096))'\n\
            head -c 300000 /dev/zero | tr '\\0' x; echo; sleep 1\n";
        match self {
            Self::Honest => String::new(),
            Self::Deaf => lives.to_owned(),
            Self::Fifo => format!(
                "{lives}for file in stop-reason.new stop-reason claim exit.json exit.json.new; do\n\
                 at=\"${{LONGSHORE_OUTPUT%/output}}/$file\"; rm -f \"$at\"; mkfifo \"$at\"; done\n"
            ),
            Self::Forger => format!("{lives}{}{kill}", forged(r#"{\"exited\":{\"code\":0}}"#)),
            Self::Denier => format!(
                "{lives}{}{kill}",
                forged(r#"{\"notStarted\":{\"problem\":\"Internal\",\"message\":\"nothing ran\"}}"#)
            ),
        }
    }
}

impl Clock {
    pub(crate) const ALL: [Self; 3] = [Self::Right, Self::Behind, Self::Ahead];

    /// In a schedule's text.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Right => "",
            Self::Behind => "+behind",
            Self::Ahead => "+ahead",
        }
    }

    /// How far it is ahead, in seconds.
    pub(crate) const fn seconds(self) -> i64 {
        match self {
            Self::Right => 0,
            Self::Behind => -7200,
            Self::Ahead => 7200,
        }
    }
}

/// A termination message with this outcome, in the runner's words.
fn forged(outcome: &str) -> String {
    format!(
        "of=$(cat \"${{LONGSHORE_OUTPUT%/output}}/claim\")\n\
         printf %s \"{{\\\"exit\\\":{{\\\"version\\\":{VERSION},\\\"of\\\":$of,\\\"outcome\\\":{outcome},\\\"millis\\\":1,\
         \\\"outputs\\\":{{\\\"token\\\":\\\"forged\\\"}}}}}}\" >\"${{LONGSHORE_OUTPUT%/longshore/state/output}}/dev/termination-log\"\n"
    )
}
