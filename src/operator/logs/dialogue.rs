//! One log and what its runner is told about it. This is pure: the collector passes the lines and the time.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::{
    assemble::Assembler,
    ledger::{Due, Ledger},
    state::State,
};
use crate::{
    operator::lifecycle::facts::LogFact,
    record::{
        credit::{Credit, Limits},
        outcome::Identity,
    },
};

/// How long no frame may come before a beat shows that some are lost. While frames are sent again, the number
/// of a beat between them is ahead of theirs.
const NO_FRAME: Duration = Duration::from_secs(1);
/// How long the exit record is not acknowledged. Until then the verdict is stored, and if this operator dies
/// instead, the next one gets the record again.
const VERDICT: Duration = Duration::from_secs(1);

/// What came of a line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct News {
    /// The log has more.
    pub(super) text: bool,
    /// `decide` waits for what it brought: a record.
    pub(super) record: bool,
    /// The line was not read before.
    pub(super) fresh: bool,
}

/// What the annotations of the pod are to say.
#[derive(Debug, Clone)]
pub(super) struct Word {
    /// For the runner.
    pub(super) credit: Credit,
    /// For another operator.
    pub(super) state: String,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// Write this. The flag says whether it is a new request to send again.
    Tell(Word, bool),
    /// Nothing: lost frames were given up.
    GaveUp,
}

/// The log of one attempt, and the account with its runner.
#[derive(Debug)]
pub(super) struct Dialogue {
    log: Assembler,
    ledger: Ledger,
    /// Whether another operator began this, and the runner has not been asked for anything since.
    resumed: bool,
    /// Whether the stream is followed. The log of a container that has ended is only read.
    follows: bool,
    /// When the latest frame was taken.
    read_at: Option<Instant>,
    /// When the exit record was read.
    exit_at: Option<Instant>,
    /// The time of the latest beat, in milliseconds of the runner.
    latest_beat: Option<u64>,
    /// The latest request to send again.
    generation: u32,
}

impl Dialogue {
    pub(super) fn new(of: Identity) -> Self {
        Self {
            log: Assembler::new(of),
            ledger: Ledger::default(),
            resumed: false,
            follows: false,
            read_at: None,
            exit_at: None,
            latest_beat: None,
            generation: 0,
        }
    }

    /// Goes on where another operator stopped. `state` is what that one wrote beside `credit`, if it can be
    /// read.
    pub(super) fn resumed(of: Identity, credit: Credit, state: Option<&str>) -> Self {
        let state = state.and_then(State::from_text).unwrap_or_else(|| State::lost(credit.acked));
        Self {
            log: Assembler::resumed(of.clone(), state),
            ledger: Ledger::resumed(credit),
            resumed: true,
            generation: credit.generation,
            ..Self::new(of)
        }
    }

    /// The log is read from another place on. `limits` are those of a runner that keeps what it wrote, as far as
    /// its pod says.
    pub(super) fn begins(&mut self, follows: bool, limits: Option<Limits>) {
        if let Some(per_second) = limits.and_then(|limits| limits.acknowledged_per_second) {
            self.ledger.pace(per_second);
        }
        self.follows = follows;
        self.log.reconnected();
        self.ledger.reconnected();
        self.hope(limits.is_some() || self.ledger.waits());
    }

    /// A container that has ended sends nothing again.
    const fn hope(&mut self, keeps: bool) {
        self.log.may_come_again(self.follows && keeps && !self.ledger.deaf());
    }

    /// Takes a line, without its newline.
    pub(super) fn take(&mut self, line: &[u8], time: Timestamp, now: Instant) -> News {
        let accepted = self.log.accept(line, time);
        let mut fresh = false;
        // A beat that answers a request shows nothing about what follows it. So it comes second.
        let idle = self.read_at.is_none_or(|at| now >= at + NO_FRAME);
        if accepted.lost && (accepted.beat.is_none() || idle) {
            self.ledger.lost(self.log.next(), now);
        }
        if let Some((beat, millis)) = accepted.beat {
            fresh = self.latest_beat.is_none_or(|latest| millis > latest);
            self.latest_beat = self.latest_beat.max(Some(millis));
            self.ledger.beat(&beat);
            self.hope(true);
            if self.follows && std::mem::take(&mut self.resumed) && !self.log.has_start() {
                // The runner then writes its records again, which no annotation can prove.
                self.ledger.lost(self.log.next(), now);
            }
        }
        let text = accepted.bytes > 0;
        if text {
            self.read_at = Some(now);
            self.ledger.taken(self.log.next(), accepted.bytes, now);
        }
        if self.log.has_exit() {
            self.exit_at.get_or_insert(now);
        }
        News { text, record: accepted.record, fresh: fresh || text || accepted.record }
    }

    /// What is due now. Call it again after anything was.
    pub(super) fn due(&mut self, now: Instant) -> Option<Deed> {
        if !self.follows {
            return None;
        }
        let state = self.acknowledgeable(now);
        let end = self.log.has_end() && self.acknowledges_exit_at(now).is_none();
        match self.ledger.due(state.next.saturating_sub(1), end, now)? {
            Due::GiveUp => {
                self.log.give_up();
                self.hope(true);
                Some(Deed::GaveUp)
            }
            Due::Tell(credit) => {
                let asks = credit.generation > self.generation;
                self.generation = credit.generation;
                Some(Deed::Tell(Word { credit, state: state.to_text() }, asks))
            }
        }
    }

    /// When something is due, if nothing comes before.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        if !self.follows {
            return None;
        }
        let has = self.acknowledgeable(now).next.saturating_sub(1);
        self.ledger.next(has, now).into_iter().chain(self.acknowledges_exit_at(now)).min()
    }

    /// When the exit record may be acknowledged. `None` if it may, or is not read yet.
    pub(super) fn acknowledges_exit_at(&self, now: Instant) -> Option<Instant> {
        self.exit_at.map(|at| at + VERDICT).filter(|at| *at > now)
    }

    /// Where another operator has to go on.
    fn acknowledgeable(&self, now: Instant) -> State {
        let held = self.log.before_exit().filter(|_| self.acknowledges_exit_at(now).is_some());
        held.cloned().unwrap_or_else(|| self.log.state())
    }

    /// The API server has this word to the runner.
    pub(super) fn told(&mut self, credit: Credit, now: Instant) {
        self.ledger.told(credit, now);
    }

    /// Whether the runner waits for acknowledgements.
    pub(super) const fn waits(&self) -> bool {
        self.ledger.waits()
    }

    pub(super) const fn has_end(&self) -> bool {
        self.log.has_end()
    }

    /// Whether the present reading brought a frame.
    pub(super) const fn is_framed(&self) -> bool {
        self.log.is_framed()
    }

    /// Everything that has been read so far.
    pub(super) fn fact(&self) -> LogFact {
        self.log.fact()
    }

    /// Everything that was read, once no more can come.
    pub(super) fn settled(&self) -> LogFact {
        self.log.settled()
    }
}

#[cfg(test)]
mod tests;
