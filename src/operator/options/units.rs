//! Sizes and times in flags.

use std::time::Duration;

use k8s_openapi::jiff::{Span, SpanRelativeTo};

use crate::record::quoted;

/// A whole number of bytes, or of Ki, Mi, Gi or Ti.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| {
            format!(
                "{} is not a size: write a whole number with Ki, Mi or Gi, for example 512Mi",
                quoted(text)
            )
        })
}

/// A time such as 36h, 30d or 8w. A day has 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span = text.parse::<Span>().ok();
    span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok())
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| {
            format!("{} is not a time: write a number with h, d or w, for example 36h or 30d", quoted(text))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [("1", 1), ("2Ki", 2048), ("512Mi", 512 << 20), ("1Gi", 1 << 30)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "0", "Mi", "-1", "1.5Gi", "1M", "99999999999Gi", "1 Mi"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        for (text, hours) in [("36h", 36), ("30d", 30 * 24), ("8w", 8 * 7 * 24), ("1d12h", 36)] {
            assert_eq!(duration(text), Ok(Duration::from_hours(hours)), "{text}");
        }
        for bad in ["", "0", "0d", "30", "-1d", "1y", "1mo", "d", "tomorrow", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
