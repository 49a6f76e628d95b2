//! Names an attempt, for everything that is derived for it alone.

/// Bound to every key and every box. Another use of the same master keys, or another form of the content, needs
/// another text.
const PURPOSE: &[u8] = b"longshore.dev/outputs/1";

/// The attempt whose outputs are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The action's UID.
    pub action_uid: &'a str,
    /// The run's id.
    pub run_id: &'a str,
    /// The attempt's number.
    pub number: u32,
}

impl Attempt<'_> {
    /// A text that no other attempt has: each part has its length in front.
    pub(super) fn context(&self) -> Vec<u8> {
        let number = self.number.to_string();
        joined([PURPOSE, self.action_uid.as_bytes(), self.run_id.as_bytes(), number.as_bytes()])
    }
}

/// Puts parts together, each with its length in front, so that no two lists of parts give the same bytes.
pub(super) fn joined<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut whole = Vec::new();
    for part in parts {
        whole.extend_from_slice(&(part.len() as u64).to_be_bytes());
        whole.extend_from_slice(part);
    }
    whole
}
