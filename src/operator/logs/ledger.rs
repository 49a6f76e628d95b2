//! What the runner is told about its log, and when. This is pure: the collector passes what happens.

use std::time::Duration;

use tokio::time::Instant;

use crate::record::credit::{Beat, Credit};

/// How many bytes may be read without an acknowledgement.
const EVERY_BYTES: u64 = 8 * 1024 * 1024;
/// How long nothing new may be read before what was read is acknowledged.
const IDLE: Duration = Duration::from_millis(500);
/// The shortest time between two requests to send again.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long a runner that knows of a request may take to answer it, before it is asked again.
const ANSWERS_WITHIN: Duration = Duration::from_secs(4);
/// How long an acknowledgement waits at most for the container's storage. A runner waits longer for it.
const PACED_FOR: Duration = Duration::from_secs(15);
/// How often the same frame is asked for.
const TRIES: u32 = 5;

/// What to do about lost frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Tell the runner this.
    Tell(Credit),
    /// The frames from here on do not come, however often the runner is asked.
    GiveUp,
}

/// A request to send again.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// When the API server had it.
    told: Option<Instant>,
    /// Whether the runner follows it.
    answered: bool,
    /// Whether frames were missing after the answer, too.
    in_vain: bool,
}

/// Frames that are missing.
#[derive(Debug, Clone, Copy)]
struct Gap {
    from: u64,
    since: Instant,
    asked: Option<Asked>,
    /// How often these were asked for.
    times: u32,
}

/// The account of one log with its runner.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Whether the runner keeps what it wrote and waits for acknowledgements.
    waits: bool,
    /// The latest word to the runner.
    credit: Credit,
    /// How many bytes were read since then, and when the last of them.
    unacknowledged: u64,
    read_at: Option<Instant>,
    asked_at: Option<Instant>,
    /// How many bytes are acknowledged in a second, if not as many as are read.
    per_second: Option<u64>,
    /// Before this, no more is acknowledged.
    paced_until: Option<Instant>,
    gap: Option<Gap>,
    /// Whether the runner answers no requests.
    deaf: bool,
}

impl Ledger {
    /// Goes on after another operator's latest word.
    pub(super) fn resumed(credit: Credit) -> Self {
        Self { waits: true, credit, ..Self::default() }
    }

    /// Acknowledges no more than so many bytes in a second.
    pub(super) const fn pace(&mut self, per_second: u64) {
        self.per_second = Some(per_second);
    }

    /// Whether the runner waits for acknowledgements.
    pub(super) const fn waits(&self) -> bool {
        self.waits
    }

    /// The last frame that the runner was told it may forget.
    pub(super) const fn acknowledged(&self) -> u64 {
        self.credit.acked
    }

    /// Whether the runner answers no requests, however often it was asked.
    pub(super) const fn deaf(&self) -> bool {
        self.deaf
    }

    /// The log is read from another place on. An answer is only seen behind its beat.
    pub(super) const fn reconnected(&mut self) {
        if let Some(Gap { asked: Some(asked), .. }) = &mut self.gap {
            (asked.answered, asked.in_vain) = (false, false);
        }
    }

    /// Frames were taken. All in front of `next` are there.
    pub(super) fn taken(&mut self, next: u64, bytes: u64, now: Instant) {
        self.unacknowledged += bytes;
        self.read_at = Some(now);
        self.gap = self.gap.filter(|gap| gap.from >= next);
    }

    /// Frames are missing from `from` on.
    pub(super) fn lost(&mut self, from: u64, now: Instant) {
        let gap = self.gap.filter(|gap| gap.from == from);
        let gap = self.gap.insert(gap.unwrap_or(Gap { from, since: now, asked: None, times: 0 }));
        if let Some(asked) = &mut gap.asked {
            asked.in_vain |= asked.answered;
        }
    }

    /// The runner said something.
    pub(super) const fn beat(&mut self, beat: &Beat) {
        self.waits = true;
        if let Some(Gap { asked: Some(asked), .. }) = &mut self.gap
            && beat.generation >= self.credit.generation
        {
            asked.answered = true;
        }
        if self.credit.generation > 0 && beat.generation >= self.credit.generation {
            self.deaf = false;
        }
    }

    /// The API server has this word to the runner.
    pub(super) fn told(&mut self, credit: Credit, now: Instant) {
        if let Some(Gap { asked: Some(asked), .. }) = &mut self.gap
            && credit.generation >= self.credit.generation
        {
            asked.told.get_or_insert(now);
        }
    }

    /// What is due now, if everything up to `has` is read and kept.
    pub(super) fn due(&mut self, has: u64, end: bool, now: Instant) -> Option<Due> {
        let asks = self.asks_at().is_some_and(|at| at <= now);
        if asks && let Some(gap) = &mut self.gap {
            if gap.times >= TRIES {
                self.deaf |= gap.asked.is_some_and(|asked| !asked.answered);
                self.gap = None;
                return Some(Due::GiveUp);
            }
            gap.times += 1;
            gap.asked = Some(Asked { told: None, answered: false, in_vain: false });
            self.asked_at = Some(now);
            self.credit.generation = self.credit.generation.saturating_add(1);
            self.credit.from = gap.from;
        }
        if self.acknowledges_at(has, end, now).is_some_and(|at| at <= now) || asks {
            if let Some(per_second) = self.per_second {
                let millis = self.unacknowledged.saturating_mul(1000) / per_second.max(1);
                self.paced_until = Some(now + Duration::from_millis(millis).min(PACED_FOR));
            }
            self.credit.acked = self.credit.acked.max(has);
            self.unacknowledged = 0;
            return Some(Due::Tell(self.credit));
        }
        None
    }

    /// When something is due if nothing happens until then.
    pub(super) fn next(&self, has: u64, now: Instant) -> Option<Instant> {
        self.asks_at().into_iter().chain(self.acknowledges_at(has, false, now)).min()
    }

    fn acknowledges_at(&self, has: u64, end: bool, now: Instant) -> Option<Instant> {
        if !self.waits || has <= self.credit.acked {
            return None;
        }
        // Nothing follows the end.
        if end {
            return Some(now);
        }
        let idle_at = self.read_at.filter(|_| self.unacknowledged < EVERY_BYTES).map_or(now, |at| at + IDLE);
        Some(self.paced_until.map_or(idle_at, |at| at.max(idle_at)))
    }

    fn asks_at(&self) -> Option<Instant> {
        let gap = self.gap.filter(|_| !self.deaf)?;
        let paced = self.asked_at.map(|at| at + ASK_EVERY);
        match gap.asked {
            None => paced.max(Some(gap.since)),
            // What it sends again has not come yet.
            Some(Asked { answered: true, in_vain: false, .. }) => None,
            Some(Asked { answered: true, .. }) => paced,
            // A request that the API server does not have yet is on its way.
            Some(Asked { told, .. }) => told.map(|at| (at + ANSWERS_WITHIN).max(paced.unwrap_or(at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(generation: u32) -> Beat {
        Beat { made: 100, generation, acked: 0, dropped: vec![] }
    }

    /// A ledger of a runner that waits, and the time.
    fn waiting() -> (Ledger, Instant) {
        let mut ledger = Ledger::default();
        ledger.beat(&beat(0));
        (ledger, Instant::now())
    }

    fn told(due: Option<Due>) -> Credit {
        let Some(Due::Tell(credit)) = due else { panic!("{due:?}") };
        credit
    }

    #[test]
    fn a_runner_that_said_nothing_is_told_nothing() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        ledger.taken(11, 10 * EVERY_BYTES, now);
        for later in [Duration::ZERO, IDLE, Duration::from_hours(1)] {
            assert_eq!(ledger.due(10, true, now + later), None);
        }
        assert_eq!(ledger.next(10, now), None);
    }

    #[test]
    fn what_was_read_is_acknowledged_by_bytes_when_idle_and_at_the_end() {
        let (mut ledger, now) = waiting();
        ledger.taken(11, EVERY_BYTES - 1, now);
        assert_eq!(ledger.due(10, false, now), None);
        assert_eq!(ledger.next(10, now), Some(now + IDLE));
        ledger.taken(12, 1, now);
        assert_eq!(told(ledger.due(11, false, now)), Credit { acked: 11, ..Credit::default() });
        assert_eq!(ledger.next(11, now), None);
        ledger.taken(13, 1, now);
        assert_eq!(ledger.due(12, false, now + IDLE / 2), None);
        assert_eq!(told(ledger.due(12, false, now + IDLE)).acked, 12);
        ledger.taken(14, 1, now);
        assert_eq!(told(ledger.due(13, true, now)).acked, 13);
        assert_eq!(ledger.due(13, true, now), None);
    }

    #[test]
    fn a_small_storage_is_filled_slowly_and_the_end_is_told_at_once() {
        let (mut ledger, now) = waiting();
        let seconds = Duration::from_secs;
        ledger.pace(EVERY_BYTES / 10);
        ledger.taken(11, EVERY_BYTES, now);
        assert_eq!(told(ledger.due(10, false, now)).acked, 10);
        ledger.taken(21, EVERY_BYTES, now);
        assert_eq!(ledger.due(20, false, now + seconds(9)), None);
        assert_eq!(ledger.next(20, now + seconds(9)), Some(now + seconds(10)));
        assert_eq!(told(ledger.due(20, false, now + seconds(10))).acked, 20);
        ledger.taken(31, 1, now + seconds(11));
        assert_eq!(ledger.due(30, false, now + seconds(12)), None);
        assert_eq!(told(ledger.due(30, true, now + seconds(12))).acked, 30);
        // A pace of nothing is somebody's joke.
        ledger.pace(0);
        ledger.taken(41, EVERY_BYTES, now + seconds(13));
        assert_eq!(told(ledger.due(40, true, now + seconds(13))).acked, 40);
        ledger.taken(51, EVERY_BYTES, now + seconds(13));
        assert_eq!(told(ledger.due(50, false, now + seconds(28))).acked, 50);
    }

    #[test]
    fn lost_frames_are_asked_for_at_once_and_seldom_again() {
        let (mut ledger, now) = waiting();
        let after = |seconds| now + Duration::from_secs(seconds);
        ledger.lost(5, now);
        let first = told(ledger.due(4, false, now));
        assert_eq!(first, Credit { acked: 4, generation: 1, from: 5 });
        ledger.lost(5, now);
        assert_eq!(ledger.due(4, false, after(60)), None, "the API server does not have it yet");
        ledger.told(first, now);
        assert_eq!(ledger.due(4, false, after(3)), None, "the runner may still answer");
        let second = told(ledger.due(4, false, after(4)));
        assert_eq!((second.generation, second.from), (2, 5));
        ledger.told(second, after(4));
        ledger.beat(&beat(2));
        assert_eq!(ledger.due(4, false, after(60)), None, "its answer is on its way");
        ledger.lost(5, after(5));
        assert_eq!(ledger.due(4, false, after(5)), None, "too soon");
        assert_eq!(told(ledger.due(4, false, after(6))).generation, 3);
    }

    #[test]
    fn a_gap_that_is_filled_is_forgotten() {
        let (mut ledger, now) = waiting();
        ledger.lost(5, now);
        let asked = told(ledger.due(4, false, now));
        ledger.told(asked, now);
        ledger.taken(6, 10, now);
        assert_eq!(told(ledger.due(5, false, now + IDLE)), Credit { acked: 5, ..asked });
        ledger.lost(9, now);
        assert_eq!(ledger.due(5, false, now + IDLE), None, "two requests are never close together");
        assert_eq!(told(ledger.due(8, false, now + ASK_EVERY)).from, 9);
    }

    #[test]
    fn what_never_comes_is_given_up() {
        for answers in [true, false] {
            let (mut ledger, mut now) = waiting();
            let mut requests = 0;
            let end = now + Duration::from_mins(1);
            let given_up = loop {
                ledger.lost(5, now);
                match ledger.due(4, false, now) {
                    Some(Due::Tell(credit)) => {
                        requests += 1;
                        ledger.told(credit, now);
                        if answers {
                            ledger.beat(&beat(credit.generation));
                        }
                    }
                    Some(Due::GiveUp) => break true,
                    None if now > end => break false,
                    None => now += Duration::from_millis(100),
                }
            };
            assert!(given_up);
            assert_eq!((requests, ledger.deaf()), (TRIES, !answers));
        }
    }

    #[test]
    fn an_answer_counts_again_where_the_log_is_read_again() {
        let (mut ledger, now) = waiting();
        ledger.lost(5, now);
        let asked = told(ledger.due(4, false, now));
        ledger.told(asked, now);
        ledger.beat(&beat(1));
        ledger.reconnected();
        // The file begins with older frames.
        ledger.lost(5, now);
        assert_eq!(ledger.due(4, false, now + ASK_EVERY), None);
        assert_eq!(told(ledger.due(4, false, now + ANSWERS_WITHIN)).generation, 2);
    }

    #[test]
    fn another_operator_goes_on_with_the_numbers_of_the_one_before() {
        let now = Instant::now();
        let mut ledger = Ledger::resumed(Credit { acked: 50, generation: 3, from: 20 });
        assert_eq!(ledger.due(50, false, now), None);
        ledger.lost(51, now);
        assert_eq!(told(ledger.due(50, false, now)), Credit { acked: 50, generation: 4, from: 51 });
    }
}
