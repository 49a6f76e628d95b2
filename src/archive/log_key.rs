//! The name of a log in the archive.

use std::{fmt, str::FromStr};

/// The version of the layout. A later layout gets a folder of its own.
const VERSION: &str = "v1";

/// The folder of all logs, below the archive's own.
pub(super) const LOGS: &str = "v1/logs";

/// The longest part of a key, in bytes. A namespace's name has at most 63, a UID has 36.
const MAX_PART: usize = 64;

/// The log of one attempt, in one pod.
///
/// It holds the UIDs of action and pod. An action that is created again under its old name has another UID, so
/// it never opens the log of its predecessor. A run number can come again, if a cluster is restored from a
/// backup. The pod's UID cannot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogKey {
    namespace: String,
    action_uid: String,
    run: u32,
    attempt: u32,
    pod_uid: String,
}

/// A text is no key of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be a part of a log's key: only letters, digits and hyphens, at most {MAX_PART}")]
pub struct KeyError(String);

impl LogKey {
    /// Names the log of an attempt.
    ///
    /// # Errors
    /// If a name or UID holds anything but letters, digits and hyphens: it could lead to another log.
    pub fn new(
        namespace: &str,
        action_uid: &str,
        run: u32,
        attempt: u32,
        pod_uid: &str,
    ) -> Result<Self, KeyError> {
        for part in [namespace, action_uid, pod_uid] {
            let fits = (1..=MAX_PART).contains(&part.len());
            if !fits || !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(KeyError(part.chars().take(MAX_PART).collect()));
            }
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            action_uid: action_uid.to_owned(),
            run,
            attempt,
            pod_uid: pod_uid.to_owned(),
        })
    }

    /// The action's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The action's UID.
    #[must_use]
    pub fn action_uid(&self) -> &str {
        &self.action_uid
    }

    /// The run's number.
    #[must_use]
    pub const fn run(&self) -> u32 {
        self.run
    }

    /// The attempt's number within its run.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The UID of the attempt's pod.
    #[must_use]
    pub fn pod_uid(&self) -> &str {
        &self.pod_uid
    }

    /// The name of an attempt's folder.
    pub(super) fn attempt_folder(run: u32, attempt: u32) -> String {
        format!("{run:010}-{attempt:02}")
    }

    /// Run and attempt in the name of an attempt's folder.
    pub(super) fn numbers(folder: &str) -> Option<(u32, u32)> {
        let (run, attempt) = folder.split_once('-')?;
        Some((run.parse().ok()?, attempt.parse().ok()?))
    }

    /// The folder of all logs of one action, below the archive's own.
    pub(super) fn action_folder(namespace: &str, action_uid: &str) -> Result<String, KeyError> {
        let any = Self::new(namespace, action_uid, 0, 0, "any")?;
        Ok(format!("{LOGS}/{}/{}", any.namespace, any.action_uid))
    }
}

/// As the status has it, and as the folder below the archive's own is named.
impl fmt::Display for LogKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, action_uid, run, attempt, pod_uid } = self;
        let attempt = Self::attempt_folder(*run, *attempt);
        write!(formatter, "{LOGS}/{namespace}/{action_uid}/{attempt}/{pod_uid}")
    }
}

impl FromStr for LogKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let wrong = || KeyError(text.chars().take(4 * MAX_PART).collect());
        let parts: Vec<&str> = text.split('/').collect();
        let [VERSION, "logs", namespace, action_uid, numbers, pod_uid] = parts[..] else {
            return Err(wrong());
        };
        let (run, attempt) = Self::numbers(numbers).ok_or_else(wrong)?;
        let key = Self::new(namespace, action_uid, run, attempt, pod_uid)?;
        // One log has one name.
        if key.to_string() == text { Ok(key) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "5f3c9a1b-0000-4000-8000-000000000001";

    #[test]
    fn a_key_comes_back_from_its_name() {
        let key = LogKey::new("orders", UID, 12, 3, "pod-1").unwrap();
        let name = format!("v1/logs/orders/{UID}/0000000012-03/pod-1");
        assert_eq!(key.to_string(), name);
        assert_eq!(name.parse(), Ok(key));
    }

    #[test]
    fn no_part_of_a_key_leads_elsewhere() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a%2fb", "a b", "a\0", "ä", "a#1", &"a".repeat(65)] {
            assert!(LogKey::new(bad, UID, 1, 1, "p").is_err(), "{bad:?}");
            assert!(LogKey::new("a", bad, 1, 1, "p").is_err(), "{bad:?}");
            assert!(LogKey::new("a", UID, 1, 1, bad).is_err(), "{bad:?}");
            assert!(LogKey::action_folder("a", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_log_has_one_name() {
        for bad in [
            "",
            "v1/logs/a/b/0000000001-01",
            "v1/logs/a/b/1-1/p",
            "v1/logs/a/b/+000000001-01/p",
            "v1/logs/a/b/0000000001-01/p/",
            "v1/logs/a/../0000000001-01/p",
            "/v1/logs/a/b/0000000001-01/p",
            "v2/logs/a/b/0000000001-01/p",
        ] {
            assert!(bad.parse::<LogKey>().is_err(), "{bad:?}");
        }
    }
}
