//! Ranges of semantic versions as Helm and Flux write them, `>=1.4 <2 || 3.x`.
//!
//! The crate `semver` reads one list of comparators with commas, and takes a bare version for a caret. So
//! alternatives, blanks and bare versions are rewritten for it. If Helm and this module differ, this module
//! allows less: it takes a pre-release only if a comparator names one of the same version.

use semver::{Version, VersionReq};

use crate::record::quoted;

/// The allowed versions: those of any of the alternatives.
#[derive(Debug)]
pub(crate) struct Range(Vec<VersionReq>);

impl Range {
    /// Reads a range.
    ///
    /// # Errors
    /// What is wrong with it. The text follows the range's name in a message.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        text.split("||").map(alternative).collect::<Result<_, _>>().map(Self).map_err(|error| {
            format!(
                "is {}, which is no range of versions such as \">=1.4 <2\", \"^1.4\" or \"1.x\": {error}",
                quoted(text)
            )
        })
    }

    /// Whether it allows this version.
    #[must_use]
    pub(crate) fn contains(&self, version: &Version) -> bool {
        self.0.iter().any(|alternative| alternative.matches(version))
    }
}

fn alternative(text: &str) -> Result<VersionReq, String> {
    let mut comparators: Vec<String> = Vec::new();
    let mut operator = String::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        operator.push_str(word);
        // `>= 1.4` is one comparator.
        if word.ends_with(['=', '<', '>', '^', '~']) {
            continue;
        }
        let word = std::mem::take(&mut operator);
        let digits = word.trim_start_matches(['=', '<', '>', '^', '~']);
        let (sign, digits) = (&word[..word.len() - digits.len()], digits.trim_start_matches('v'));
        // A bare version means that version. If parts are left out, it means each version that begins so.
        let bare = digits.starts_with(|first: char| first.is_ascii_digit());
        let sign = if sign.is_empty() && bare && !digits.contains(['*', 'x', 'X']) { "=" } else { sign };
        comparators.push(format!("{sign}{digits}"));
    }
    if !operator.is_empty() || comparators.is_empty() {
        return Err("it ends where a version is expected".into());
    }
    VersionReq::parse(&comparators.join(", ")).map_err(|error| error.to_string())
}

/// The semantic version that a tag stands for. A leading `v` is optional. `_` stands for `+`, as in Helm,
/// because no tag may have `+`.
#[must_use]
pub(crate) fn version(tag: &str) -> Option<Version> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    Version::parse(&tag.replace('_', "+")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_helm_reads_them() {
        for (range, inside, outside) in [
            (">=1.4 <2", &["1.4.0", "1.99.3"][..], &["1.3.9", "2.0.0", "2.0.0-rc.1", "1.5.0-rc.1"][..]),
            (">= 1.4, < 2", &["1.4.0"], &["2.0.0"]),
            ("^1.4", &["1.4.0", "1.5.0"], &["1.3.0", "2.0.0"]),
            ("~1.4.2", &["1.4.2", "1.4.9"], &["1.4.1", "1.5.0"]),
            ("1.x", &["1.0.0", "1.9.0"], &["2.0.0", "0.9.0"]),
            ("1.4", &["1.4.0", "1.4.7"], &["1.5.0"]),
            ("1.4.2", &["1.4.2", "v1.4.2", "1.4.2_build.1"], &["1.4.3"]),
            ("1.4.2 || >=2", &["1.4.2", "2.0.0", "7.1.0"], &["1.4.3"]),
            ("*", &["0.1.0", "9.0.0"], &["1.0.0-rc.1"]),
            // Helm would allow the last one: there a pre-release in a range allows all pre-releases.
            (">=1.4.0-0 <2", &["1.4.0-rc.1"], &["1.3.0-rc.1", "1.5.0-rc.1"]),
        ] {
            let parsed = Range::parse(range).unwrap();
            for tag in inside {
                assert!(parsed.contains(&version(tag).unwrap()), "{tag} in {range}");
            }
            for tag in outside {
                assert!(!parsed.contains(&version(tag).unwrap()), "{tag} not in {range}");
            }
        }
    }

    #[test]
    fn what_is_no_range_is_told() {
        for range in ["", " ", "latest", ">=", ">=1.4 <", "1.4 - 2.0", "!=1.2", "1.2.3.4", "||"] {
            let error = Range::parse(range).unwrap_err();
            assert!(error.contains("no range of versions"), "{error}");
        }
        assert!(version("2026.11").is_none() && version("latest").is_none());
    }
}
