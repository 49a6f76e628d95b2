//! Says when a script writes so fast that its log should give way to it.
//!
//! The node, the API server and the operator need processors for each byte that the runner hands on. On a small
//! node a script that floods would wait for its own log. So such a log waits in the spool, until the script pauses
//! or the spool is half full.

use std::time::{Duration, Instant};

/// A faster script floods. Few readers keep up with it.
const BYTES_PER_SECOND: u64 = 32 * 1024 * 1024;
/// The number of bytes above that rate from which it is a flood.
const FROM_BYTES: u64 = 1024 * 1024;
/// The most bytes above that rate that count. So a flood is over soon after its last byte.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes that came faster than [`BYTES_PER_SECOND`]. They become fewer at that rate.
#[derive(Debug)]
pub(super) struct Flood {
    bytes: u64,
    at: Instant,
}

impl Flood {
    pub(super) const fn new(now: Instant) -> Self {
        Self { bytes: 0, at: now }
    }

    /// So many bytes came.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        let micros = u64::try_from(now.saturating_duration_since(self.at).as_micros()).unwrap_or(u64::MAX);
        let gone = micros.saturating_mul(BYTES_PER_SECOND) / 1_000_000;
        self.bytes = self.bytes.saturating_sub(gone).saturating_add(bytes).min(MOST_BYTES);
        self.at = now;
    }

    /// When the flood is over if nothing more comes. `None` without one.
    pub(super) fn until(&self) -> Option<Instant> {
        let above = self.bytes.checked_sub(FROM_BYTES)?;
        Some(self.at + Duration::from_micros(above.saturating_mul(1_000_000) / BYTES_PER_SECOND))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Writes a quarter of a mebibyte at a time, so often in a second, and says for how long it then floods.
    fn after(seconds: u32, a_second: u32) -> Duration {
        let begun = Instant::now();
        let mut flood = Flood::new(begun);
        let mut now = begun;
        for _ in 0..seconds * a_second {
            now += Duration::from_secs(1) / a_second;
            flood.add(MIB / 4, now);
        }
        flood.until().map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    #[test]
    fn a_script_floods_above_32_mib_a_second_and_not_for_long_afterwards() {
        assert_eq!(after(10, 4 * 20), Duration::ZERO);
        assert_eq!(after(10, 4 * 31), Duration::ZERO);
        let long = after(10, 4 * 50);
        assert!(long > Duration::ZERO && long < Duration::from_millis(100), "{long:?}");
    }

    #[test]
    fn a_burst_of_a_mebibyte_is_no_flood() {
        let now = Instant::now();
        let mut flood = Flood::new(now);
        flood.add(MIB - 1, now);
        assert_eq!(flood.until(), None);
        flood.add(MIB, now);
        assert!(flood.until().is_some_and(|until| until > now));
    }
}
