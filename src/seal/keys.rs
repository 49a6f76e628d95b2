//! The operator's master keys, and the keys of attempts that follow from them.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, prelude::BASE64_STANDARD};
use hkdf::Hkdf;
use hpke::{Serializable, kem::X25519HkdfSha256};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::attempt::{Attempt, joined};
use crate::record::hex;

pub(super) type Kem = X25519HkdfSha256;

/// The length of a master key, in bytes.
pub const MASTER_BYTES: usize = 32;
/// How much of a name follows from the master key, in bytes.
const NAME_BYTES: usize = 10;

/// The key to which an attempt's outputs are sealed. It is not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads the text that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

/// A master key. It is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Master(Zeroizing<[u8; MASTER_BYTES]>);

impl fmt::Debug for Master {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A debug text must show no secret.
        out.debug_struct("Master").finish_non_exhaustive()
    }
}

impl Master {
    /// A key of these bytes. `None` if they are too few or too many.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The bytes, to be stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// The key to which the outputs of an attempt are sealed.
    #[must_use]
    pub fn public_key(&self, of: &Attempt<'_>) -> PublicKey {
        PublicKey(self.key_pair(of).1.to_bytes().into())
    }

    pub(super) fn key_pair(
        &self,
        of: &Attempt<'_>,
    ) -> (<Kem as hpke::Kem>::PrivateKey, <Kem as hpke::Kem>::PublicKey) {
        let mut seed = Zeroizing::new([0; MASTER_BYTES]);
        self.derive(b"key", of, &mut *seed);
        <Kem as hpke::Kem>::derive_keypair(&*seed)
    }

    /// The end of a name that nobody can guess who does not have the master key: 20 hexadecimal digits. Another
    /// `number` gives another name, which does not follow from the first.
    #[must_use]
    pub fn name_part(&self, of: &Attempt<'_>, number: u32) -> String {
        let mut part = [0; NAME_BYTES];
        self.derive(&joined([b"name", &number.to_be_bytes()[..]]), of, &mut part);
        hex(&part)
    }

    fn derive(&self, what: &[u8], of: &Attempt<'_>, out: &mut [u8]) {
        let hkdf = Hkdf::<Sha256>::new(None, self.0.as_ref());
        // It fails only for more than 8160 bytes.
        let _ = hkdf.expand(&joined([what, &of.context()]), out);
    }
}

/// The master keys by their ids. The one whose id sorts last seals; the others still open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Masters(BTreeMap<String, Master>);

impl Masters {
    /// All keys by their ids.
    #[must_use]
    pub const fn new(keys: BTreeMap<String, Master>) -> Self {
        Self(keys)
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn newest(&self) -> Option<&str> {
        self.0.keys().next_back().map(String::as_str)
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Master> {
        self.0.get(id)
    }

    /// All keys. The one with this id comes first, then the newest.
    pub fn with_first(&self, id: Option<&str>) -> impl Iterator<Item = (&str, &Master)> {
        let first = id.and_then(|id| self.0.get_key_value(id));
        let others = self.0.iter().rev().filter(move |(other, _)| Some(other.as_str()) != id);
        first.into_iter().chain(others).map(|(id, master)| (id.as_str(), master))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Attempt<'_> = Attempt { action_uid: "5f3c9a1b-0000", run_id: "5f3c9a1b-3", number: 2 };

    fn master(byte: u8) -> Master {
        Master::from_bytes(&[byte; MASTER_BYTES]).unwrap()
    }

    #[test]
    fn an_attempt_s_key_is_always_the_same() {
        // Computed by another program, from the two RFCs alone. A change here leaves runs under way without their sensitive outputs, and it changes their bundles.
        assert_eq!(master(1).public_key(&OF).to_string(), "uoxf+FCZDz3ZWF0dX7oBMJbYt6n5xIgWoIKQpRzXURQ=");
        assert_eq!(master(1).name_part(&OF, 0), "abe2a4a7a7fb0e125911");
    }

    #[test]
    fn a_public_key_is_read_as_it_is_written() {
        let key = master(1).public_key(&OF);
        assert_eq!(PublicKey::parse(&key.to_string()), Some(key));
        for bad in ["", "AAAA", "?", &format!("{key}{key}")] {
            assert_eq!(PublicKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_master_has_exactly_its_length_and_shows_nothing() {
        assert!(Master::from_bytes(&[0; MASTER_BYTES - 1]).is_none());
        assert!(Master::from_bytes(&[0; MASTER_BYTES + 1]).is_none());
        assert_eq!(format!("{:?}", master(77)), "Master { .. }");
    }

    #[test]
    fn names_do_not_follow_from_each_other() {
        let names: std::collections::BTreeSet<String> = [
            master(1).name_part(&OF, 0),
            master(1).name_part(&OF, 1),
            master(2).name_part(&OF, 0),
            master(1).name_part(&Attempt { number: 3, ..OF }, 0),
        ]
        .into();
        assert_eq!(names.len(), 4);
        assert!(names.iter().all(|name| name.len() == 20));
    }

    #[test]
    fn the_key_that_sorts_last_seals_and_the_one_that_sealed_is_tried_first() {
        let masters =
            Masters::new(["20260102", "20250101", "20260101"].map(|id| (id.to_owned(), master(1))).into());
        assert_eq!(masters.newest(), Some("20260102"));
        let order = |id| masters.with_first(id).map(|(id, _)| id.to_owned()).collect::<Vec<_>>();
        assert_eq!(order(Some("20250101")), ["20250101", "20260102", "20260101"]);
        assert_eq!(order(None), ["20260102", "20260101", "20250101"]);
        assert_eq!(order(Some("gone")).len(), 3);
    }
}
