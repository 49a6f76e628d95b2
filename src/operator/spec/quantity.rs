//! Kubernetes' quantities, as far as they must be compared (`apimachinery/pkg/api/resource/quantity.go`).

/// Kubernetes cuts everything above 2^63 - 1 down to it.
const MOST: u128 = 9_223_372_036_854_775_807 * NANOS;
const NANOS: u128 = 1_000_000_000;
/// More digits than these change nothing in a comparison, apart from the last of these, which is rounded up.
const DIGITS: usize = 19;

/// A quantity in billionths, rounded up as Kubernetes does. `None` if it is no quantity, or negative.
#[must_use]
pub(in crate::operator) fn nanos(text: &str) -> Option<u128> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let (ten, two) = scale(suffix)?;
    let digits = format!("{whole}{}", fraction.trim_end_matches('0'));
    let fraction = i64::try_from(fraction.trim_end_matches('0').len()).ok()?;
    let digits = digits.trim_start_matches('0');
    let (kept, cut) = digits.split_at(digits.len().min(DIGITS));
    let mut mantissa: u128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    mantissa += u128::from(cut.bytes().any(|digit| digit != b'0'));
    if mantissa == 0 {
        return Some(0);
    }
    let exponent =
        ten.saturating_sub(fraction).saturating_add(9).saturating_add(i64::try_from(cut.len()).ok()?);
    // 20 digits and 60 bits need less than 128 bits.
    let value = mantissa.checked_shl(two).filter(|value| value >> two == mantissa)?;
    let power = u32::try_from(exponent.unsigned_abs()).ok().and_then(|by| 10_u128.checked_pow(by));
    let value = if exponent >= 0 {
        power.and_then(|power| value.checked_mul(power)).unwrap_or(MOST)
    } else {
        power.map_or(1, |power| value.div_ceil(power))
    };
    Some(value.min(MOST))
}

/// The powers of ten and of two that a suffix stands for.
fn scale(suffix: &str) -> Option<(i64, u32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        _ => (suffix.strip_prefix(['e', 'E'])?.parse().ok()?, 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_their_value() {
        for (smaller, larger) in [
            ("0", "1n"),
            ("1", "1001m"),
            ("999Mi", "1Gi"),
            ("1G", "1Gi"),
            ("4294967295", "4Gi"),
            ("4Gi", "4294967297"),
            ("0.5", "501m"),
            ("1e3", "1001"),
            ("1k", "1Ki"),
            ("1.5Gi", "1537Mi"),
            ("9007199254740992", "9007199254740993"),
            ("0.0000000001", "2n"),
        ] {
            assert!(nanos(smaller).unwrap() < nanos(larger).unwrap(), "{smaller} {larger}");
        }
        for (one, same) in [
            ("1", "1000m"),
            ("1024Mi", "1Gi"),
            (".5", "500m"),
            ("5.", "5"),
            ("+1", "1"),
            ("1E3", "1k"),
            ("1e-3", "1m"),
            ("00.10", "100m"),
            ("0.0000000001", "1n"),
            ("16Ei", "9223372036854775807"),
            ("1e99", "9223372036854775807"),
            ("1.50000000000000000000000000000000000000000000", "1500m"),
        ] {
            assert_eq!(nanos(one), nanos(same), "{one} {same}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in
            ["", "-1", "1.5.5", "64MB", "1 Gi", "Gi", ".", "1e", "1ee3", "lots", "1e99999999999999999999"]
        {
            assert_eq!(nanos(text), None, "{text:?}");
        }
    }
}
