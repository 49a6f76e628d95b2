//! Sealing, and opening.

use base64::{Engine, prelude::BASE64_STANDARD};
use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    single_shot_open, single_shot_seal,
};
use zeroize::Zeroizing;

use super::{
    attempt::Attempt,
    contents::{self, MAX_BOX_BYTES, Values},
    keys::{Kem, Master, PublicKey},
};

/// The length of the part of a box with which the operator finds the box's key.
const ENCAPPED_BYTES: usize = 32;

/// Why outputs cannot be sealed, or a box cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// This is no key.
    #[error("the public key for sensitive outputs is none")]
    Key,
    /// It is longer than outputs may be.
    #[error("the sensitive outputs are too long")]
    TooLong,
    /// The library refuses. It does not for keys that [`Master`] derives.
    #[error("the sensitive outputs cannot be sealed to this key")]
    Sealing,
    /// This is no box, or it was changed, or it belongs to another attempt or pod.
    #[error("the box with the sensitive outputs does not open: it was changed, or it is of another attempt")]
    Opening,
}

/// Seals `values` for the attempt `of`, which runs in the pod with this UID. The result is a text.
///
/// # Errors
/// This is no key, or the values are too long.
pub fn seal(key: &PublicKey, of: &Attempt<'_>, pod_uid: &str, values: &Values) -> Result<String, SealError> {
    let key = <Kem as hpke::Kem>::PublicKey::from_bytes(key.as_bytes()).map_err(|_| SealError::Key)?;
    let content = contents::pack(values).ok_or(SealError::TooLong)?;
    let (encapped, sealed) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &key,
        &of.context(),
        &content,
        pod_uid.as_bytes(),
    )
    .map_err(|_| SealError::Sealing)?;
    Ok(BASE64_STANDARD.encode([&encapped.to_bytes()[..], &sealed].concat()))
}

/// Opens a box of the attempt `of`, which ran in the pod with this UID.
///
/// # Errors
/// The box does not open with this master's key for the attempt.
pub fn open(master: &Master, of: &Attempt<'_>, pod_uid: &str, sealed: &str) -> Result<Values, SealError> {
    if sealed.len() > MAX_BOX_BYTES {
        return Err(SealError::Opening);
    }
    let sealed = BASE64_STANDARD.decode(sealed).map_err(|_| SealError::Opening)?;
    let (encapped, sealed) = sealed.split_at_checked(ENCAPPED_BYTES).ok_or(SealError::Opening)?;
    let encapped = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapped).map_err(|_| SealError::Opening)?;
    let (private, _) = master.key_pair(of);
    let content = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &private,
        &encapped,
        &of.context(),
        sealed,
        pod_uid.as_bytes(),
    )
    .map_err(|_| SealError::Opening)?;
    contents::unpack(&Zeroizing::new(content)).ok_or(SealError::Opening)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::seal::MASTER_BYTES;

    const OF: Attempt<'_> = Attempt { action_uid: "5f3c9a1b-0000", run_id: "5f3c9a1b-3", number: 2 };

    fn master(byte: u8) -> Master {
        Master::from_bytes(&[byte; MASTER_BYTES]).unwrap()
    }

    fn values(pairs: &[(&str, &[u8])]) -> Values {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Zeroizing::new(value.to_vec()))).collect()
    }

    fn sealed(values: &Values) -> String {
        seal(&master(1).public_key(&OF), &OF, "pod", values).unwrap()
    }

    #[test]
    fn what_was_sealed_comes_back_byte_by_byte() {
        let long = vec![1; 32 * 1024];
        for values in [
            values(&[]),
            values(&[("token", b""), ("key", b"\0\xff\n"), ("long", &long)]),
            values(&["a", "b", "c", "d"].map(|name| (name, &long[..]))),
        ] {
            let text = sealed(&values);
            assert!(text.len() <= MAX_BOX_BYTES, "{}", text.len());
            assert_eq!(open(&master(1), &OF, "pod", &text).unwrap(), values);
        }
    }

    #[test]
    fn the_same_values_never_give_the_same_box() {
        let values = values(&[("token", b"secret")]);
        assert_ne!(sealed(&values), sealed(&values));
    }

    #[test]
    fn a_box_opens_for_its_own_attempt_pod_and_master_alone() {
        let text = sealed(&values(&[("token", b"secret")]));
        for (master, of, pod) in [
            (master(2), OF, "pod"),
            (master(1), Attempt { action_uid: "5f3c9a1b-0001", ..OF }, "pod"),
            (master(1), Attempt { run_id: "5f3c9a1b-4", ..OF }, "pod"),
            (master(1), Attempt { number: 3, ..OF }, "pod"),
            // The parts are told apart wherever they end.
            (master(1), Attempt { action_uid: "5f3c9a1b-00005", run_id: "f3c9a1b-3", ..OF }, "pod"),
            (master(1), OF, "another pod"),
        ] {
            assert_eq!(open(&master, &of, pod, &text), Err(SealError::Opening), "{of:?} {pod}");
        }
        assert!(open(&master(1), &OF, "pod", &text).is_ok());
    }

    #[test]
    fn what_is_no_box_is_refused() {
        let text = sealed(&values(&[("token", b"secret")]));
        for bad in [
            "",
            "!",
            "AAAA",
            &text[..40],
            &text[..text.len() - 4],
            &"A".repeat(64),
            &"A".repeat(MAX_BOX_BYTES + 4),
        ] {
            assert_eq!(open(&master(1), &OF, "pod", bad), Err(SealError::Opening), "{bad:.20}");
        }
    }

    #[test]
    fn values_that_are_too_long_or_a_key_that_is_none_are_refused() {
        let long = values(&[("a", &vec![0; 200 * 1024])]);
        assert_eq!(seal(&master(1).public_key(&OF), &OF, "pod", &long), Err(SealError::TooLong));
        // X25519 gives nothing secret for this point.
        let zero = PublicKey::parse(&BASE64_STANDARD.encode([0; 32])).unwrap();
        assert_eq!(seal(&zero, &OF, "pod", &values(&[])), Err(SealError::Sealing));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_box_that_was_changed_anywhere_does_not_open(at in 0usize..1000, bit in 0u8..8) {
            let mut bytes = BASE64_STANDARD.decode(sealed(&values(&[("token", b"secret")]))).unwrap();
            let at = at % bytes.len();
            // X25519 ignores the highest bit of a point (RFC 7748). All else counts.
            prop_assume!((at, bit) != (ENCAPPED_BYTES - 1, 7));
            bytes[at] ^= 1 << bit;
            prop_assert!(open(&master(1), &OF, "pod", &BASE64_STANDARD.encode(bytes)).is_err());
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9+/=]{0,200}") {
            let _ = open(&master(1), &OF, "pod", &text);
        }
    }
}
