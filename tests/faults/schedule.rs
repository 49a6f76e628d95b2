//! The faults of one run of one path: written as text, read from it, drawn from a seed.

use std::{fmt, str::FromStr};

use super::{
    call::Call,
    hostile::{Clock, Temper},
    paths::Path,
};
use crate::support::random::Random;

/// One of the operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Slot {
    /// The one that leads.
    A,
    /// One that believes that it leads.
    B,
}

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The operator dies, and the request is never sent.
    CrashBefore,
    /// It dies once the request was carried out and before it has the answer.
    CrashLost,
    /// It dies as soon as it has the answer.
    CrashAfter,
    /// It dies, and the request arrives this many milliseconds later.
    CrashLate(u32),
    /// The request is not carried out: this code is the answer.
    Refuse(u16),
    /// It is carried out, and this code is the answer.
    Forget(u16),
    /// The connection breaks before the request is sent.
    BreakBefore,
    /// The connection breaks once it was carried out.
    BreakAfter,
    /// The connection breaks in the middle of the answer.
    Cut,
    /// The connection breaks, and the request arrives this many milliseconds later.
    Late(u32),
    /// It is sent this many milliseconds later.
    DelayBefore(u32),
    /// It is sent when people have done all that they do on the path.
    Paused,
    /// The answer arrives so many milliseconds later, and is as old as that.
    DelayAfter(u32),
    /// The answer is the one that the first request of this kind had.
    Old,
    /// The event of a watch and all after it come so many milliseconds later.
    Hold(u32),
    /// The event is left out; a moment later the stream ends with 410, since no API server leaves out
    /// an event for good.
    Drop,
    /// The event comes twice.
    Repeat,
    /// The event comes after the next one; then as with `Drop`.
    Swap,
    /// The stream ends before the event, as by its timeout.
    End,
    /// The connection breaks in the middle of the event.
    BreakEvent,
    /// 410 comes in its place.
    Gone,
    /// etcd is compacted, and the stream ends.
    Compact,
    /// Somebody has made a pod under the name before, with a forged end.
    Usurp,
}

/// Whether there is a second operator, which believes that it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    None,
    /// From the beginning.
    Beside,
    /// From when something has gone wrong with the first one: as when that was paused, and does not know
    /// that it leads no more.
    TakesOver,
}

impl Second {
    const ALL: [Self; 3] = [Self::None, Self::Beside, Self::TakesOver];

    const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Beside => "+second",
            Self::TakesOver => "+takeover",
        }
    }
}

/// At the n-th request of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) slot: Slot,
    pub(crate) call: Call,
    /// From 1.
    pub(crate) nth: u32,
    pub(crate) what: What,
}

impl Fault {
    fn makes_creations_late(&self) -> bool {
        match self.call {
            Call::CreatePod => self.what.holds_up(),
            Call::GetAction => matches!(self.what, What::DelayAfter(_)),
            _ => false,
        }
    }
}

/// A path, and what goes wrong on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) path: Path,
    pub(crate) second: Second,
    pub(crate) temper: Temper,
    pub(crate) clock: Clock,
    pub(crate) faults: Vec<Fault>,
}

impl What {
    /// How long it holds something up, in milliseconds.
    pub(crate) fn millis(self) -> u32 {
        match self {
            Self::CrashLate(millis)
            | Self::Late(millis)
            | Self::DelayBefore(millis)
            | Self::DelayAfter(millis)
            | Self::Hold(millis) => millis,
            Self::Drop | Self::Swap => GONE_AFTER,
            _ => 0,
        }
    }

    /// Whether something arrives later for it.
    fn holds_up(self) -> bool {
        self.millis() > 0 || self == Self::Paused
    }
}

/// How long after an event was left out the watch is ended, in milliseconds.
pub(crate) const GONE_AFTER: u32 = 500;

impl fmt::Display for What {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrashBefore => write!(to, "crash-before"),
            Self::CrashLost => write!(to, "crash-lost"),
            Self::CrashAfter => write!(to, "crash-after"),
            Self::CrashLate(millis) => write!(to, "crash-late:{millis}"),
            Self::Refuse(code) => write!(to, "refuse:{code}"),
            Self::Forget(code) => write!(to, "forget:{code}"),
            Self::BreakBefore => write!(to, "break-before"),
            Self::BreakAfter => write!(to, "break-after"),
            Self::Cut => write!(to, "cut"),
            Self::Late(millis) => write!(to, "late:{millis}"),
            Self::DelayBefore(millis) => write!(to, "delay-before:{millis}"),
            Self::DelayAfter(millis) => write!(to, "delay-after:{millis}"),
            Self::Paused => write!(to, "paused"),
            Self::Old => write!(to, "old"),
            Self::Hold(millis) => write!(to, "hold:{millis}"),
            Self::Drop => write!(to, "drop"),
            Self::Repeat => write!(to, "repeat"),
            Self::Swap => write!(to, "swap"),
            Self::End => write!(to, "end"),
            Self::BreakEvent => write!(to, "break"),
            Self::Gone => write!(to, "gone"),
            Self::Compact => write!(to, "compact"),
            Self::Usurp => write!(to, "usurp"),
        }
    }
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, number) = text.split_once(':').unwrap_or((text, "0"));
        let number: u32 = number.parse().map_err(|_| format!("{text:?} has no number behind the colon"))?;
        let code = u16::try_from(number).unwrap_or_default();
        Ok(match name {
            "crash-before" => Self::CrashBefore,
            "crash-lost" => Self::CrashLost,
            "crash-after" => Self::CrashAfter,
            "crash-late" => Self::CrashLate(number),
            "refuse" => Self::Refuse(code),
            "forget" => Self::Forget(code),
            "break-before" => Self::BreakBefore,
            "break-after" => Self::BreakAfter,
            "cut" => Self::Cut,
            "late" => Self::Late(number),
            "delay-before" => Self::DelayBefore(number),
            "delay-after" => Self::DelayAfter(number),
            "paused" => Self::Paused,
            "old" => Self::Old,
            "hold" => Self::Hold(number),
            "drop" => Self::Drop,
            "repeat" => Self::Repeat,
            "swap" => Self::Swap,
            "end" => Self::End,
            "break" => Self::BreakEvent,
            "gone" => Self::Gone,
            "compact" => Self::Compact,
            "usurp" => Self::Usurp,
            _ => return Err(format!("{text:?} is nothing that can go wrong")),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = if self.slot == Slot::A { "a" } else { "b" };
        write!(to, "{slot}/{}#{}={}", self.call, self.nth, self.what)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no fault: write a/create-pod#1=crash-lost");
        let (slot, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (call, rest) = rest.split_once('#').ok_or_else(wrong)?;
        let (nth, what) = rest.split_once('=').ok_or_else(wrong)?;
        Ok(Self {
            slot: match slot {
                "a" => Slot::A,
                "b" => Slot::B,
                _ => return Err(wrong()),
            },
            call: Call::ALL.into_iter().find(|one| one.name() == call).ok_or_else(wrong)?,
            nth: nth.parse().map_err(|_| wrong())?,
            what: what.parse()?,
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (temper, clock) = (self.temper.suffix(), self.clock.suffix());
        write!(to, "{}{}{temper}{clock}", self.path, self.second.suffix())?;
        self.faults.iter().try_for_each(|fault| write!(to, ",{fault}"))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.trim().split(',');
        let first = parts.next().unwrap_or_default();
        let (name, suffixes) = first.split_at(first.find('+').unwrap_or(first.len()));
        let path = Path::ALL.into_iter().find(|path| path.name() == name);
        let known = || Path::ALL.map(Path::name).join(", ");
        let path = path.ok_or_else(|| format!("there is no path {name:?}; there are {}", known()))?;
        let mut schedule = Self::without_faults(path);
        for word in suffixes.split('+').skip(1) {
            let suffix = format!("+{word}");
            let second = Second::ALL.into_iter().find(|second| second.suffix() == suffix);
            let temper = Temper::ALL.into_iter().find(|temper| temper.suffix() == suffix);
            let clock = Clock::ALL.into_iter().find(|clock| clock.suffix() == suffix);
            match (second, temper, clock) {
                (Some(second), _, _) => schedule.second = second,
                (_, Some(temper), _) => schedule.temper = temper,
                (_, _, Some(clock)) => schedule.clock = clock,
                _ => return Err(format!("{suffix:?} is no operator beside, no temper and no clock")),
            }
        }
        schedule.faults = parts.map(str::parse).collect::<Result<_, _>>()?;
        Ok(schedule)
    }
}

/// Codes that an API server refuses with before it has done anything.
const REFUSALS: [u16; 4] = [429, 500, 503, 504];
/// Codes that it answers with although it has done what was asked.
const FORGOTTEN: [u16; 2] = [500, 504];

impl Schedule {
    pub(crate) fn without_faults(path: Path) -> Self {
        Self { path, second: Second::None, temper: Temper::Honest, clock: Clock::Right, faults: Vec::new() }
    }

    /// The `case`-th schedule of a seed.
    pub(crate) fn drawn(seed: u64, case: u64) -> Self {
        let mut random = Random::of(seed, case);
        let path = *random.pick(&Path::ALL);
        let second = match random.below(8) {
            0 => Second::Beside,
            1 => Second::TakesOver,
            _ => Second::None,
        };
        let count = 1 + random.below(5);
        let mut faults: Vec<Fault> = Vec::new();
        for _ in 0..count {
            let slot = if second != Second::None && random.percent(50) { Slot::B } else { Slot::A };
            let fault = draw(&mut random, path, slot);
            if !faults.iter().any(|one| (one.slot, one.call, one.nth) == (fault.slot, fault.call, fault.nth))
            {
                faults.push(fault);
            }
        }
        // Last, so that a seed draws the faults that it drew before there was this.
        let temper = match random.below(20) {
            0 | 1 => Temper::Deaf,
            2 | 3 => Temper::Fifo,
            4 => Temper::Forger,
            5 => Temper::Denier,
            _ => Temper::Honest,
        };
        let clock = match random.below(8) {
            0 => Clock::Behind,
            1 => Clock::Ahead,
            _ => Clock::Right,
        };
        // A script that never starts shows nothing.
        let temper = if path.expected().starts > 0 { temper } else { Temper::Honest };
        Self { path, second, temper, clock, faults }
    }

    /// Whether a creation may arrive long after it was decided: late itself, or by a live read whose answer
    /// is old. A pause before the read is no fault.
    pub(crate) fn has_late_creations(&self) -> bool {
        self.faults.iter().any(Fault::makes_creations_late)
    }

    /// Whether such requests or their answers may arrive late, by what goes wrong.
    pub(crate) fn delays(&self, call: Call) -> bool {
        self.faults.iter().any(|fault| fault.call == call && fault.what.holds_up())
    }
}

/// At a request that is made on the path, or, now and then, at one that comes of what went wrong before,
/// if it comes.
fn draw(random: &mut Random, path: Path, slot: Slot) -> Fault {
    let beyond = random.percent(12);
    let most = |call: Call| if beyond { path.usual(call) + 2 } else { path.usual(call) };
    let mut weights = vec![
        (Call::WriteStatus, 24),
        (Call::CreatePod, 20),
        (Call::PatchPod, 8),
        (Call::DeletePod, 5),
        (Call::GetAction, 8),
        (Call::GetPod, 3),
        (Call::ListActions, 4),
        (Call::ListPods, 4),
        (Call::WatchActions, 2),
        (Call::WatchPods, 2),
        (Call::ActionEvent, 7),
        (Call::PodEvent, 8),
        (Call::ReadLog, 3),
        (Call::WriteEvent, 1),
        (Call::ReadEvents, 1),
        (Call::Lease, 1),
        (Call::ReadLock, 5),
        (Call::WriteLock, 10),
        (Call::Other, 1),
    ];
    weights.retain(|(call, _)| match call {
        Call::ReadLock | Call::WriteLock => path == Path::Lock,
        call => most(*call) > 0,
    });
    let mut at = random.below(weights.iter().map(|(_, weight)| weight).sum());
    let mut call = Call::WriteStatus;
    for (one, weight) in weights {
        call = one;
        if at < weight {
            break;
        }
        at -= weight;
    }
    let nth = u32::try_from(1 + random.below(most(call))).expect("a small number");
    Fault { slot, call, nth, what: draw_what(random, call) }
}

fn draw_what(random: &mut Random, call: Call) -> What {
    let millis = |random: &mut Random| *random.pick(&[50, 200, 600, 1500, 3000]);
    match call {
        Call::ActionEvent | Call::PodEvent => match random.below(8) {
            0 | 1 => What::Hold(millis(random)),
            2 => What::Drop,
            3 => What::Repeat,
            4 => What::Swap,
            5 => What::End,
            6 => What::BreakEvent,
            _ => *random.pick(&[What::Gone, What::Compact]),
        },
        _ if call.is_write() => match random.below(12) {
            0 => What::CrashBefore,
            1 => What::CrashLost,
            2 => What::CrashAfter,
            3 => What::CrashLate(millis(random)),
            4 => What::Refuse(*random.pick(&REFUSALS)),
            5 => What::Forget(*random.pick(&FORGOTTEN)),
            6 => What::BreakBefore,
            7 => What::BreakAfter,
            8 => What::Cut,
            9 => What::Late(millis(random)),
            // For a creation, 409 means that somebody else's change came between.
            10 => What::Refuse(409),
            _ => match random.below(3) {
                0 => What::DelayBefore(millis(random)),
                1 => What::DelayAfter(millis(random)),
                _ => What::Paused,
            },
        },
        _ => match random.below(8) {
            0 => What::CrashBefore,
            1 => What::CrashAfter,
            2 => What::Refuse(*random.pick(&REFUSALS)),
            3 => What::BreakBefore,
            4 => What::Cut,
            5 if matches!(call, Call::ListActions | Call::ListPods) => What::Old,
            5 | 6 => What::DelayAfter(millis(random)),
            _ => What::DelayBefore(millis(random)),
        },
    }
}

#[test]
fn a_schedule_is_read_as_it_was_written() {
    for case in 0..500 {
        let schedule = Schedule::drawn(7, case);
        assert_eq!(schedule.to_string().parse::<Schedule>(), Ok(schedule.clone()), "{schedule}");
        assert_eq!(Schedule::drawn(7, case), schedule);
    }
    assert!("success,a/create-pod#1=nothing".parse::<Schedule>().is_err());
    assert!("nowhere".parse::<Schedule>().is_err());
    assert!("success+third".parse::<Schedule>().is_err());
    for text in ["lock+second+fifo+behind", "success+forger,a/write-status#1=cut", "again+ahead"] {
        assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
    }
}
