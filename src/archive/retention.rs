//! Decides which logs are removed. This is pure: a listing goes in.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

use super::log_key::LogKey;

/// A log without a record is of a run that is under way, or that nobody finished. The second is not certain
/// before it has been unchanged for so long.
pub(super) const UNFINISHED: Duration = Duration::from_hours(24);

/// The limits of the archive. A limit that is not set does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long a log is kept after it was stored.
    pub age: Option<Duration>,
    /// How much the logs of one namespace may take, in bytes as they are stored.
    pub namespace_bytes: Option<u64>,
    /// How much all logs may take.
    pub bytes: Option<u64>,
    /// How many runs of each action are kept, each with all its attempts.
    pub runs: Option<u32>,
}

impl Retention {
    /// Whether anything is ever removed.
    #[must_use]
    pub const fn removes(&self) -> bool {
        self.age.is_some() || self.namespace_bytes.is_some() || self.bytes.is_some() || self.runs.is_some()
    }

    /// Until when a log that is stored now is kept, as far as its age decides.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        now.checked_add(self.age?).ok()
    }
}

/// A stored log, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLog {
    /// Its key.
    pub key: LogKey,
    /// The size of all its objects, in bytes.
    pub bytes: u64,
    /// When its latest object was written, by the store's clock.
    pub written: Timestamp,
    /// Whether its record is there.
    pub ended: bool,
}

/// Why a log is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display)]
pub enum Why {
    /// It is too old.
    #[strum(serialize = "age")]
    Age,
    /// Its action has had enough later runs.
    #[strum(serialize = "runs of the action")]
    Runs,
    /// Its namespace's logs are too large, and it is the oldest.
    #[strum(serialize = "size of the namespace")]
    NamespaceBytes,
    /// All logs are too large, and it is the oldest.
    #[strum(serialize = "size of all")]
    Bytes,
}

/// The logs to remove, each with its place in `logs`, in the order of their place.
///
/// A log that `is_under_way` is never among them, but its size counts. Neither is one that has no record yet and
/// was written to within a day.
#[must_use]
pub fn excess(
    logs: &[StoredLog],
    retention: &Retention,
    now: Timestamp,
    is_under_way: impl Fn(&LogKey) -> bool,
) -> Vec<(usize, Why)> {
    let old = |log: &StoredLog, age: Duration| log.written.checked_add(age).is_ok_and(|until| until <= now);
    let is_free = |log: &StoredLog| (log.ended || old(log, UNFINISHED)) && !is_under_way(&log.key);
    let mut why: Vec<Option<Why>> = logs
        .iter()
        .map(|log| (is_free(log) && retention.age.is_some_and(|age| old(log, age))).then_some(Why::Age))
        .collect();

    if let Some(most) = retention.runs {
        let mut runs: HashMap<(&str, &str), Vec<u32>> = HashMap::new();
        for log in logs {
            runs.entry((log.key.namespace(), log.key.action_uid())).or_default().push(log.key.run());
        }
        // The first run that is kept, of each action that has too many.
        let first: HashMap<_, u32> = runs
            .into_iter()
            .filter_map(|(action, mut runs)| {
                runs.sort_unstable_by(|a, b| b.cmp(a));
                runs.dedup();
                let kept = usize::try_from(most).unwrap_or(usize::MAX);
                // With none to keep, even the latest goes.
                (runs.len() > kept).then(|| (action, kept.checked_sub(1).map_or(u32::MAX, |last| runs[last])))
            })
            .collect();
        for (log, why) in logs.iter().zip(&mut why) {
            let first = first.get(&(log.key.namespace(), log.key.action_uid()));
            if why.is_none() && is_free(log) && first.is_some_and(|first| log.key.run() < *first) {
                *why = Some(Why::Runs);
            }
        }
    }

    let mut oldest_first: Vec<usize> = (0..logs.len()).collect();
    oldest_first.sort_by_key(|at| (logs[*at].written, &logs[*at].key));
    let kept = |why: &[Option<Why>]| {
        logs.iter().zip(why).filter(|(_, why)| why.is_none()).map(|(log, _)| log).collect::<Vec<_>>()
    };
    if let Some(most) = retention.namespace_bytes {
        let mut sizes: HashMap<&str, u64> = HashMap::new();
        for log in kept(&why) {
            *sizes.entry(log.key.namespace()).or_default() += log.bytes;
        }
        for at in &oldest_first {
            let log = &logs[*at];
            let size = sizes.entry(log.key.namespace()).or_default();
            if *size > most && why[*at].is_none() && is_free(log) {
                why[*at] = Some(Why::NamespaceBytes);
                *size -= log.bytes;
            }
        }
    }
    if let Some(most) = retention.bytes {
        let mut size: u64 = kept(&why).iter().map(|log| log.bytes).sum();
        for at in oldest_first {
            if size > most && why[at].is_none() && is_free(&logs[at]) {
                why[at] = Some(Why::Bytes);
                size -= logs[at].bytes;
            }
        }
    }
    why.into_iter().enumerate().filter_map(|(at, why)| Some((at, why?))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400;

    fn log(namespace: &str, action: &str, run: u32, bytes: u64, day: i64) -> StoredLog {
        StoredLog {
            key: LogKey::new(namespace, action, run, 1, "p").unwrap(),
            bytes,
            written: Timestamp::from_second(day * DAY).unwrap(),
            ended: true,
        }
    }

    fn removed(logs: &[StoredLog], retention: Retention) -> Vec<(usize, Why)> {
        excess(logs, &retention, Timestamp::from_second(100 * DAY).unwrap(), |_| false)
    }

    #[test]
    fn each_limit_removes_what_exceeds_it() {
        let logs = [
            log("a", "x", 1, 10, 10),
            log("a", "x", 2, 10, 98),
            log("a", "x", 3, 10, 99),
            log("b", "y", 1, 30, 97),
            log("b", "z", 7, 5, 96),
        ];
        let none = Retention::default();
        let days = |days: u64| Some(Duration::from_hours(24 * days));
        for (retention, expected) in [
            (none, vec![]),
            (Retention { age: days(90), ..none }, vec![(0, Why::Age)]),
            (Retention { age: days(3), ..none }, vec![(0, Why::Age), (3, Why::Age), (4, Why::Age)]),
            (Retention { runs: Some(2), ..none }, vec![(0, Why::Runs)]),
            (Retention { runs: Some(1), ..none }, vec![(0, Why::Runs), (1, Why::Runs)]),
            (
                Retention { namespace_bytes: Some(29), ..none },
                vec![(0, Why::NamespaceBytes), (3, Why::NamespaceBytes), (4, Why::NamespaceBytes)],
            ),
            (Retention { bytes: Some(30), ..none }, vec![(0, Why::Bytes), (3, Why::Bytes), (4, Why::Bytes)]),
            (Retention { age: days(90), bytes: Some(55), ..none }, vec![(0, Why::Age)]),
            (Retention { bytes: Some(65), ..none }, vec![]),
        ] {
            assert_eq!(removed(&logs, retention), expected, "{retention:?}");
        }
    }

    #[test]
    fn all_attempts_of_a_run_that_is_kept_are_kept() {
        let attempt = |run, attempt| StoredLog {
            key: LogKey::new("a", "x", run, attempt, "p").unwrap(),
            ..log("a", "x", run, 1, 1)
        };
        let logs = [attempt(1, 1), attempt(2, 1), attempt(2, 2), attempt(3, 1), attempt(3, 2)];
        let retention = Retention { runs: Some(2), ..Retention::default() };
        assert_eq!(removed(&logs, retention), [(0, Why::Runs)]);
    }

    #[test]
    fn a_run_under_way_is_never_touched() {
        let mut logs = [log("a", "x", 1, 10, 1), log("a", "x", 2, 10, 1), log("a", "x", 3, 10, 100)];
        // Its record is not there, and it has just been written to.
        logs[2].ended = false;
        let all =
            Retention { age: Some(Duration::ZERO), namespace_bytes: Some(0), bytes: Some(0), runs: Some(0) };
        let now = Timestamp::from_second(100 * DAY + 60).unwrap();
        let under_way = logs[0].key.clone();
        assert_eq!(excess(&logs, &all, now, |key| *key == under_way), [(1, Why::Age)]);
        // Nobody finished it for a day.
        let now = Timestamp::from_second(101 * DAY).unwrap();
        assert_eq!(excess(&logs, &all, now, |key| *key == under_way), [(1, Why::Age), (2, Why::Age)]);
    }

    fn logs() -> impl Strategy<Value = Vec<StoredLog>> {
        let one = (0..3u8, 0..3u8, 1..6u32, 1..3u32, 0..40u64, 0..100i64, any::<bool>());
        proptest::collection::vec(one, 0..40).prop_map(|logs| {
            let mut logs: Vec<StoredLog> = logs
                .into_iter()
                .map(|(namespace, action, run, attempt, bytes, day, ended)| StoredLog {
                    key: LogKey::new(&format!("n{namespace}"), &format!("a{action}"), run, attempt, "p")
                        .unwrap(),
                    ended,
                    ..log("n", "a", 1, bytes, day)
                })
                .collect();
            logs.sort_by(|a, b| a.key.cmp(&b.key));
            logs.dedup_by(|a, b| a.key == b.key);
            logs
        })
    }

    proptest! {
        #[test]
        fn what_is_left_fits_and_nothing_is_removed_without_need(
            logs in logs(),
            age in proptest::option::of(0..100u64),
            namespace_bytes in proptest::option::of(0..300u64),
            bytes in proptest::option::of(0..600u64),
            runs in proptest::option::of(0..4u32),
            under_way in 1..6u32,
        ) {
            let retention = Retention {
                age: age.map(|days| Duration::from_hours(24 * days)),
                namespace_bytes,
                bytes,
                runs,
            };
            let now = Timestamp::from_second(100 * DAY).unwrap();
            let is_under_way = |key: &LogKey| key.run() == under_way;
            let removed = excess(&logs, &retention, now, is_under_way);
            let gone = |at: usize| removed.iter().any(|(gone, _)| *gone == at);
            let left: Vec<StoredLog> =
                logs.iter().enumerate().filter(|(at, _)| !gone(*at)).map(|(_, log)| log.clone()).collect();

            // Nobody removes a run that is under way.
            for (at, _) in &removed {
                prop_assert!(!is_under_way(&logs[*at].key));
                prop_assert!(logs[*at].ended || logs[*at].written.as_second() <= 99 * DAY);
            }
            // A second decision removes nothing more.
            prop_assert!(excess(&left, &retention, now, is_under_way).is_empty());
            // Each limit holds, unless only logs that must stay exceed it.
            let is_free = |log: &&StoredLog| {
                !is_under_way(&log.key) && (log.ended || log.written.as_second() <= 99 * DAY)
            };
            let size = |of: &dyn Fn(&StoredLog) -> bool| {
                left.iter().filter(|log| of(log)).map(|log| log.bytes).sum::<u64>()
            };
            for log in left.iter().filter(is_free) {
                if let Some(most) = bytes {
                    prop_assert!(size(&|_| true) <= most);
                }
                if let Some(most) = namespace_bytes {
                    prop_assert!(size(&|other| other.key.namespace() == log.key.namespace()) <= most);
                }
                if let Some(age) = retention.age {
                    prop_assert!(log.written.checked_add(age).unwrap() > now);
                }
            }
            // Each log that goes has a reason. For its size it goes only if it and all newer ones do not fit.
            for (at, why) in &removed {
                match why {
                    Why::Bytes => {
                        let place = |log: &StoredLog| (log.written, log.key.clone());
                        let newer = removed
                            .iter()
                            .filter(|(_, why)| *why == Why::Bytes)
                            .map(|(at, _)| &logs[*at])
                            .filter(|log| place(log) >= place(&logs[*at]));
                        let newer: u64 = newer.map(|log| log.bytes).sum();
                        prop_assert!(size(&|_| true) + newer > bytes.unwrap());
                    }
                    Why::Age => {
                        let until = logs[*at].written.checked_add(retention.age.unwrap()).unwrap();
                        prop_assert!(until <= now);
                    }
                    Why::Runs => {
                        let same = |log: &&StoredLog| {
                            (log.key.namespace(), log.key.action_uid())
                                == (logs[*at].key.namespace(), logs[*at].key.action_uid())
                        };
                        let later: std::collections::BTreeSet<u32> = logs
                            .iter()
                            .filter(same)
                            .map(|log| log.key.run())
                            .filter(|run| *run > logs[*at].key.run())
                            .collect();
                        prop_assert!(later.len() >= usize::try_from(runs.unwrap()).unwrap());
                    }
                    Why::NamespaceBytes => {}
                }
            }
        }
    }
}
