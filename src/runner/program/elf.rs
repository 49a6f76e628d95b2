//! Reads enough of a program's header to say why the kernel does not run it.

/// The format of a file, by its beginning.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A script, with its `#!` line.
    Script(String),
    /// A program.
    Elf {
        /// The processor that it is built for.
        machine: String,
        /// The loader that it needs, if it is linked dynamically.
        loader: Option<String>,
    },
    /// Something else.
    Other,
}

/// Reads a file's beginning. Never fails: it finds out less instead.
pub(super) fn format(head: &[u8]) -> Format {
    if head.starts_with(b"#!") {
        let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
        return Format::Script(
            String::from_utf8_lossy(line).trim_end_matches([' ', '\t']).chars().take(200).collect(),
        );
    }
    if !head.starts_with(b"\x7fELF") {
        return Format::Other;
    }
    // Byte 4: 2 for 64 bits; byte 5: 1 for the little end first.
    let little = head.get(5) == Some(&1);
    let machine = match number(head, 18, 2, little) {
        Some(62) => "amd64".to_owned(),
        Some(183) => "arm64".to_owned(),
        Some(40) => "arm".to_owned(),
        Some(3) => "386".to_owned(),
        Some(21) => "ppc64".to_owned(),
        Some(22) => "s390x".to_owned(),
        Some(243) => "riscv64".to_owned(),
        Some(other) => format!("machine {other}"),
        None => "an unknown processor".to_owned(),
    };
    let loader = if head.get(4) == Some(&2) { loader(head, little) } else { None };
    Format::Elf { machine, loader }
}

/// Reads the text of the program header `PT_INTERP`.
fn loader(head: &[u8], little: bool) -> Option<String> {
    const PT_INTERP: usize = 3;
    let table = number(head, 32, 8, little)?;
    let size = number(head, 54, 2, little)?;
    let count = number(head, 56, 2, little)?;
    for index in 0..count.min(64) {
        let entry = table.checked_add(index.checked_mul(size)?)?;
        if number(head, entry, 4, little)? == PT_INTERP {
            let from = number(head, entry.checked_add(8)?, 8, little)?;
            let len = number(head, entry.checked_add(32)?, 8, little)?.min(200);
            let text = head.get(from..from.checked_add(len)?)?;
            let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
            return Some(String::from_utf8_lossy(text).into_owned());
        }
    }
    None
}

fn number(head: &[u8], at: usize, len: usize, little: bool) -> Option<usize> {
    let bytes = head.get(at..at.checked_add(len)?)?;
    let join = |sum: u64, &byte: &u8| (sum << 8) | u64::from(byte);
    let value = if little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) };
    usize::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_script_shows_its_first_line() {
        assert_eq!(format(b"#!/bin/bash -e\r\necho"), Format::Script("#!/bin/bash -e\r".into()));
    }

    #[test]
    fn a_program_shows_its_processor_and_its_loader() {
        let mut head = vec![0; 200];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 183;
        head[32] = 64;
        head[54] = 56;
        head[56] = 1;
        head[64] = 3;
        head[72] = 120;
        head[96] = 8;
        head[120..127].copy_from_slice(b"/lib/ld");
        assert_eq!(format(&head), Format::Elf { machine: "arm64".into(), loader: Some("/lib/ld".into()) });
    }

    proptest! {
        #[test]
        fn no_header_panics(rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            format(&[b"\x7fELF\x02\x01".to_vec(), rest].concat());
        }
    }
}
