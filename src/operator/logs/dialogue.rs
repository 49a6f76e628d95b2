//! One log and what its runner is told about it. This is pure: the collector passes the lines and the time.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::{
    assemble::Assembler,
    ledger::{Due, Ledger},
    state::State,
    tap::Tap,
};
use crate::{
    operator::lifecycle::facts::LogFact,
    record::{
        credit::{Credit, Limits, SPOOL_BYTES},
        frame::Frame,
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
    /// The last frame that the archive has, as long as the runner must keep what follows.
    stored: Option<u64>,
    /// The frames and bytes that this operator has taken.
    taken: (u64, u64),
    /// How much the runner's spool holds, in bytes, if it keeps what it wrote, as far as its pod says.
    spool: Option<u64>,
    /// The first frame that the archive lacked when the log was last begun again for it.
    again_from: Option<u64>,
    /// Whether so much waits in the spool that it could run over.
    crowded: bool,
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
            stored: None,
            taken: (0, 0),
            spool: None,
            again_from: None,
            crowded: false,
        }
    }

    /// The same for a log that is archived, too. The runner still has what it was not told that it may forget.
    pub(super) fn archived(mut self) -> Self {
        self.log.archive_from(self.ledger.acknowledged().saturating_add(1));
        self
    }

    /// Says what the archive has now: all frames in front of `next`, and whether it has room. With `holds`, the
    /// operator acknowledges no more than that.
    pub(super) fn archive_has(&mut self, next: u64, has_room: bool, holds: bool) {
        if let Some(tap) = self.log.tap() {
            tap.has(next);
            tap.set_open(has_room);
            self.stored = holds.then(|| next.saturating_sub(1));
        }
    }

    /// How many frames there are for the archive.
    pub(super) fn has_for_archive(&self) -> usize {
        self.log.tapped().map_or(0, Tap::len)
    }

    /// Takes the frames for the archive.
    pub(super) fn for_archive(&mut self) -> Vec<Frame<'static>> {
        self.log.tap().map(Tap::take).unwrap_or_default()
    }

    /// Whether the log must be read again for the archive. Its runner cannot send it again, or need not be asked:
    /// a short log is still on the node. Once is enough: a reading that brings nothing shows that the log is longer,
    /// and then the runner will say that it waits.
    pub(super) fn is_wanted_again(&self) -> bool {
        let wanted = self.log.tapped().filter(|tap| tap.wants_again() && !self.can_ask_for_archive());
        wanted.is_some_and(|tap| !self.may_be_sent_again() || self.again_from != Some(tap.next()))
    }

    /// Whether the archive has room again for frames that it was not given.
    pub(super) fn archive_wants_again(&self) -> bool {
        self.log.tapped().is_some_and(Tap::wants_again)
    }

    /// Whether frames have been read that the archive was not given.
    pub(super) fn archive_is_behind(&self) -> bool {
        self.log.tapped().is_some_and(Tap::is_behind)
    }

    /// The first frames that are not taken yet: by the log, and by the archive.
    pub(super) fn next_frames(&self) -> (u64, u64) {
        (self.log.next(), self.log.tapped().map_or(0, Tap::next))
    }

    /// Whether the log was read to its end, also for the archive.
    pub(super) fn has_all(&self) -> bool {
        self.has_end() && self.log.tapped().is_none_or(|tap| tap.next() >= self.log.next())
    }

    /// Whether the runner waits to hear that the archive has the rest.
    pub(super) fn owes_archive(&self) -> bool {
        self.waits() && self.stored.is_some_and(|stored| stored < self.log.next().saturating_sub(1))
    }

    fn can_ask_for_archive(&self) -> bool {
        let next = self.log.tapped().map_or(0, Tap::next);
        self.follows && self.ledger.waits() && !self.ledger.deaf() && next > self.ledger.acknowledged()
    }

    /// The first frame that is missing, to the log or to the archive.
    fn wanted(&self) -> u64 {
        let next = self.log.next();
        let archive = self.log.tapped().filter(|tap| tap.wants_again() && self.can_ask_for_archive());
        archive.map_or(next, |tap| tap.next().min(next))
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
        self.spool = limits.map(|limits| limits.spool_bytes);
        self.follows = follows;
        self.log.reconnected();
        self.ledger.reconnected();
        let (again, may_be_sent_again) = (self.is_wanted_again(), self.may_be_sent_again());
        self.again_from = None;
        if again && let Some(tap) = self.log.tap() {
            self.again_from = Some(tap.next());
            if !may_be_sent_again {
                // Frames that this reading does not bring are lost.
                tap.give_up();
            }
        }
        self.log.may_come_again(may_be_sent_again);
    }

    /// Whether lost frames may come again. A container that has ended sends nothing.
    const fn may_be_sent_again(&self) -> bool {
        self.follows && (self.spool.is_some() || self.ledger.waits()) && !self.ledger.deaf()
    }

    /// Takes a line, without its newline.
    pub(super) fn take(&mut self, line: &[u8], time: Timestamp, now: Instant) -> News {
        let before = self.log.next();
        let accepted = self.log.accept(line, time);
        let mut fresh = false;
        // A beat that answers a request shows nothing about what follows it. So it comes second.
        let idle = self.read_at.is_none_or(|at| now >= at + NO_FRAME);
        let next = self.log.next();
        if idle
            && accepted.beat.is_some()
            && let Some(tap) = self.log.tap()
        {
            tap.all_went_by(next);
        }
        let wanted = self.wanted();
        if (accepted.lost || wanted < self.log.next()) && (accepted.beat.is_none() || idle) {
            self.ledger.lost(wanted, now);
        }
        if let Some((beat, millis)) = accepted.beat {
            fresh = self.latest_beat.is_none_or(|latest| millis > latest);
            self.latest_beat = self.latest_beat.max(Some(millis));
            self.crowded = self.backlog(beat.made) > self.spool.unwrap_or(SPOOL_BYTES) / 2;
            self.ledger.beat(&beat);
            self.log.may_come_again(self.may_be_sent_again());
            if self.follows && std::mem::take(&mut self.resumed) && !self.log.has_start() {
                // The runner then writes its records again, which no annotation can prove.
                let archive = self.log.tapped().map_or(u64::MAX, Tap::next);
                self.ledger.lost(self.log.next().min(archive), now);
            }
        }
        let text = accepted.bytes > 0;
        if text {
            self.taken =
                (self.taken.0 + self.log.next().saturating_sub(before), self.taken.1 + accepted.bytes);
            self.read_at = Some(now);
            self.ledger.taken(self.wanted(), accepted.bytes, now);
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
        match self.ledger.due(self.acknowledged(&state), end, now)? {
            Due::GiveUp => {
                let only_archive = self.wanted() < self.log.next();
                if !only_archive {
                    self.log.give_up();
                } else if let Some(tap) = self.log.tap() {
                    tap.give_up();
                }
                self.log.may_come_again(self.may_be_sent_again());
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
        let has = self.acknowledged(&self.acknowledgeable(now));
        self.ledger.next(has, now).into_iter().chain(self.acknowledges_exit_at(now)).min()
    }

    /// When the exit record may be acknowledged. `None` if it may, or is not read yet.
    pub(super) fn acknowledges_exit_at(&self, now: Instant) -> Option<Instant> {
        self.exit_at.map(|at| at + VERDICT).filter(|at| *at > now)
    }

    /// The last frame that the runner need not keep. No log loses lines because its archive is slow.
    fn acknowledged(&self, state: &State) -> u64 {
        let has = state.next.saturating_sub(1);
        self.stored.filter(|_| !self.crowded).map_or(has, |stored| stored.min(has))
    }

    /// How much the runner has made that was not read yet, in bytes, if its frames are like those before.
    fn backlog(&self, made: u64) -> u64 {
        let (frames, bytes) = self.taken;
        let waiting = made.saturating_sub(self.log.next().saturating_sub(1));
        waiting.saturating_mul(bytes / frames.max(1))
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
