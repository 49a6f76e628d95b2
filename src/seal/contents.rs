//! The content of a box: names and values, filled up to one of a few lengths.
//!
//! ```text
//! length of what follows, without the filling (4 bytes)
//! for each output: length of its name (4), name, length of its value (4), value
//! zeros
//! ```
//!
//! The lengths are 1, 2, 4, 8 and 16 KiB, and from there on multiples of 16 KiB. So a token of 20 bytes and a
//! private key look the same from outside.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// Outputs by name. They are wiped when they are dropped.
pub type Values = BTreeMap<String, Zeroizing<Vec<u8>>>;

/// The smallest length.
const SMALLEST: usize = 1024;
/// From this length on, all its multiples are used.
const STEP: usize = 16 * 1024;
/// The longest content: outputs at their longest, with 64 names of 63 bytes, filled up.
const MAX_BYTES: usize = 144 * 1024;
/// The longest box as a text: base64 of the content, the key and the tag.
pub const MAX_BOX_BYTES: usize = (MAX_BYTES + 48).div_ceil(3) * 4;
const LENGTH_BYTES: usize = 4;

/// Returns the content of a box, or `None` if it would be longer than a box may be.
pub(super) fn pack(values: &Values) -> Option<Zeroizing<Vec<u8>>> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).ok().map(u32::to_be_bytes);
    let inner: usize = values.iter().map(|(name, value)| 2 * LENGTH_BYTES + name.len() + value.len()).sum();
    let filled = filled(LENGTH_BYTES + inner).filter(|filled| *filled <= MAX_BYTES)?;
    // A buffer that grows would leave copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(filled));
    content.extend_from_slice(&u32::try_from(inner).ok()?.to_be_bytes());
    for (name, value) in values {
        for part in [name.as_bytes(), value] {
            content.extend_from_slice(&length(part)?);
            content.extend_from_slice(part);
        }
    }
    content.resize(filled, 0);
    Some(content)
}

fn filled(bytes: usize) -> Option<usize> {
    if bytes <= STEP {
        bytes.checked_next_power_of_two().map(|bytes| bytes.max(SMALLEST))
    } else {
        bytes.checked_next_multiple_of(STEP)
    }
}

/// Reads the content of a box. `None` if it is none.
pub(super) fn unpack(content: &[u8]) -> Option<Values> {
    let (inner, _) = part(content)?;
    let mut rest = inner;
    let mut values = Values::new();
    while !rest.is_empty() {
        let (name, behind) = part(rest)?;
        let (value, behind) = part(behind)?;
        values.insert(String::from_utf8(name.to_vec()).ok()?, Zeroizing::new(value.to_vec()));
        rest = behind;
    }
    Some(values)
}

/// Takes a part with its length in front. Returns it and what is behind it.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::MAX_OUTPUTS_BYTES;

    fn packed(name: &str, length: usize) -> usize {
        let values = Values::from([(name.to_owned(), Zeroizing::new(vec![b'x'; length]))]);
        pack(&values).unwrap().len()
    }

    #[test]
    fn lengths_that_differ_look_the_same() {
        assert_eq!(pack(&Values::new()).unwrap().len(), 1024);
        for (length, wanted) in
            [(0, 1), (20, 1), (1000, 1), (1024, 2), (3000, 4), (9000, 16), (17_000, 32), (33_000, 48)]
        {
            assert_eq!(packed("token", length), wanted * 1024, "{length}");
        }
        assert_eq!(packed("a", 40), packed("a_longer_name", 2));
    }

    #[test]
    fn all_that_a_run_may_put_out_fits() {
        let mut values = Values::new();
        for number in 0..64 {
            values.insert(format!("{number:063}"), Zeroizing::new(vec![0; MAX_OUTPUTS_BYTES / 64]));
        }
        assert_eq!(pack(&values).unwrap().len(), MAX_BYTES);
        values.insert("more".into(), Zeroizing::new(vec![0; 16 * 1024]));
        assert!(pack(&values).is_none());
    }

    #[test]
    fn what_is_cut_or_lies_about_a_length_is_none() {
        for bad in [
            &b""[..],
            b"\0\0\0",
            b"\0\0\0\x01",
            b"\xff\xff\xff\xff....",
            b"\0\0\0\x05\0\0\0\x01a",
            b"\0\0\0\x09\0\0\0\x01\xff\0\0\0\0",
        ] {
            assert!(unpack(bad).is_none(), "{bad:?}");
        }
    }
}
