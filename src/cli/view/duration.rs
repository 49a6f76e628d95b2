//! Times in few words, as kubectl writes ages.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// A duration with at most two units, such as `47s`, `5m12s` and `3d4h`.
///
/// These are the words of `HumanDuration` in `k8s.io/apimachinery/pkg/util/duration`.
#[must_use]
pub fn short(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let two = |large: i64, first: char, small: i64, second: char| match small {
        0 => format!("{large}{first}"),
        _ => format!("{large}{first}{small}{second}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match seconds {
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1..=0 => "0s".to_owned(),
        1..=119 => format!("{seconds}s"),
        120..=599 => two(minutes, 'm', seconds % 60, 's'),
        600..=10_799 => format!("{minutes}m"),
        10_800..=28_799 => two(hours, 'h', minutes % 60, 'm'),
        28_800..=172_799 => format!("{hours}h"),
        172_800..=691_199 => two(days, 'd', hours % 24, 'h'),
        691_200..=63_071_999 => format!("{days}d"),
        63_072_000..=252_287_999 => two(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}

/// How long ago a time was.
#[must_use]
pub fn age(time: Timestamp, now: Timestamp) -> String {
    short(now.duration_since(time))
}

/// A duration with tenths of a second while it is short.
#[must_use]
pub fn exact(duration: SignedDuration) -> String {
    if duration.subsec_millis() == 0 || duration.as_secs() >= 120 {
        short(duration)
    } else {
        format!("{}.{}s", duration.as_secs(), duration.subsec_millis() / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_kubectl_s_words() {
        for (seconds, words) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (312, "5m12s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_860, "3h1m"),
            (28_800, "8h"),
            (172_799, "47h"),
            (183_600, "2d3h"),
            (691_200, "8d"),
            (63_072_000, "2y"),
            (63_158_400, "2y1d"),
            (315_360_000, "10y"),
        ] {
            assert_eq!(short(SignedDuration::from_secs(seconds)), words, "{seconds}");
        }
        assert_eq!(exact(SignedDuration::from_millis(1_250)), "1.2s");
        assert_eq!(exact(SignedDuration::from_secs(3)), "3s");
        assert_eq!(exact(SignedDuration::from_millis(312_500)), "5m12s");
    }
}
