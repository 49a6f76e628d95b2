//! Names and labels of pods.

use std::collections::BTreeMap;

use crate::api::{LABEL_ACTION, LABEL_ACTION_UID, LABEL_ATTEMPT, LABEL_MANAGED_BY, LABEL_RUN, MANAGED_BY};

/// How much of the action's name is in a pod's name. The whole is a host name, which has at most 63
/// characters.
const NAME_CHARACTERS: usize = 30;

/// The pod's name. It follows from UID, run and attempt, so two creations of one attempt cannot both succeed.
#[must_use]
pub fn pod_name(action: &str, uid: &str, run: u32, attempt: u32) -> String {
    format!("{}-{}-{run}-{attempt}", short_name(action), uid_part(uid))
}

pub(crate) fn short_name(action: &str) -> String {
    let short: String = action.chars().take(NAME_CHARACTERS).collect();
    short.trim_end_matches(['-', '.']).to_owned()
}

/// The run's id. It holds a part of the UID, so it never names a run of an earlier action with the same name.
#[must_use]
pub fn run_id(uid: &str, run: u32) -> String {
    format!("{}-{run}", uid_part(uid))
}

pub(crate) fn uid_part(uid: &str) -> String {
    uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect()
}

pub(crate) fn labels(action: &str, uid: &str, run: u32, attempt: u32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (LABEL_MANAGED_BY.to_owned(), MANAGED_BY.to_owned()),
        (LABEL_ACTION.to_owned(), action.to_owned()),
        (LABEL_ACTION_UID.to_owned(), uid.to_owned()),
        (LABEL_RUN.to_owned(), run.to_string()),
        (LABEL_ATTEMPT.to_owned(), attempt.to_string()),
    ])
}

/// Whether the text has only the characters of a DNS-1123 subdomain, and no leading dot.
pub(crate) fn may_be_a_name(name: &str) -> bool {
    let allowed =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-.".contains(&letter);
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(allowed)
}

/// The name of the pod that resolves a run's image.
#[must_use]
pub fn resolver_name(action: &str, uid: &str, run: u32) -> String {
    format!("{}-{}-{run}-resolve", short_name(action), uid_part(uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_host_name_and_tells_the_attempt() {
        let uid = "5f3c9a1b-1234-4321-8765-123456789abc";
        assert_eq!(pod_name("deploy-orders", uid, 3, 1), "deploy-orders-5f3c9a1b-3-1");
        let long = pod_name(&"a".repeat(63), uid, u32::MAX, u32::MAX);
        assert!(long.len() <= 63, "{long}");
        assert_eq!(
            pod_name(&format!("{}-b", "a".repeat(29)), uid, 1, 1),
            format!("{}-5f3c9a1b-1-1", "a".repeat(29))
        );
    }

    #[test]
    fn actions_whose_names_begin_alike_have_pods_of_their_own() {
        let (one, other) = ("5f3c9a1b-1234-4321-8765-123456789abc", "5f3c9a1c-1234-4321-8765-123456789abc");
        for shared in 1..=62 {
            let begins = "a".repeat(shared);
            let (first, second) = (format!("{begins}b"), format!("{begins}c"));
            assert_ne!(pod_name(&first, one, 1, 1), pod_name(&second, other, 1, 1), "{shared}");
            assert_ne!(resolver_name(&first, one, 1), resolver_name(&second, other, 1), "{shared}");
        }
        // An action that is created again under its name has other pods than the one before.
        assert_ne!(pod_name("deploy", one, 1, 1), pod_name("deploy", other, 1, 1));
    }
}
