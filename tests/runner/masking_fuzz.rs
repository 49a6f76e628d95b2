//! Texts with secrets in them, spelled and cut in many ways. After the masker no spelling of a value may be
//! left, and nothing else may be gone.
//!
//! Other programs' code spells the values here: the crates `base64`, `percent-encoding` and `serde_json`, and
//! replacements of texts. A plain search looks for them. None of it is the masker's own.
//!
//! `LONGSHORE_FUZZ_COUNT` says how many cases, `LONGSHORE_FUZZ_SEED` which ones. `make fuzz-masking N=1000000
//! SEED=1` sets both.

use std::collections::BTreeSet;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use longshore::runner::Masking;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

#[path = "../support/random.rs"]
mod random;
use random::Random;

/// How many cases share their values: preparing these takes longer than a case.
const A_GROUP: u64 = 20;
/// The shortest value that is masked.
const SHORTEST: usize = 6;
/// The shortest last line of base64 that is masked.
const SHORTEST_LINE: usize = 8;
const MASK: &[u8] = b"***";

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn no_spelling_of_a_value_is_left_however_the_text_is_cut() {
    let (count, seed) = (number("LONGSHORE_FUZZ_COUNT", 20_000), number("LONGSHORE_FUZZ_SEED", 20_261_123));
    println!("LONGSHORE_FUZZ_COUNT={count} LONGSHORE_FUZZ_SEED={seed}");
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let cases: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|first| {
                scope.spawn(move || {
                    let groups = (first..count.div_ceil(A_GROUP)).step_by(usize::try_from(workers).unwrap());
                    groups.map(|group| play(seed, group, A_GROUP.min(count - group * A_GROUP))).sum::<u64>()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(cases, count);
}

/// The oracle finds what a masker leaves that knows one spelling less.
#[test]
fn a_spelling_that_is_not_masked_is_noticed() {
    let value = b"it's a \"value\" & more\xc3\xa9";
    let all = Spelled::all(value);
    for spelled in &all {
        let mut masking = Masking::of([&b"another-value"[..]]);
        let out = [masking.push(&spelled.text).to_vec(), masking.finish().to_vec()].concat();
        assert!(left(&all, &out).is_some(), "{spelled:?}");
    }
    let names: BTreeSet<&str> = all.iter().map(|spelled| spelled.how).collect();
    assert_eq!(names.len(), 12, "{names:?}");
}

/// Plays these cases with the same values, and returns how many.
fn play(seed: u64, group: u64, cases: u64) -> u64 {
    let mut random = Random::of(seed, group);
    let count = if random.percent(5) { 50 } else { 1 + random.below(3) };
    let values: Vec<Vec<u8>> = (0..count).map(|_| value(&mut random)).collect();
    let all: Vec<Spelled> = values.iter().flat_map(|value| Spelled::all(value)).collect();
    let mut masking = Masking::of(values.iter().map(Vec::as_slice));
    for case in 0..cases {
        let at = random.below(values.len());
        let spelled: Vec<Spelled> = Spelled::all(&values[at]);
        let spelled = random.pick(&spelled).embedded(&values[at], &mut random);
        let quiet = quiet(&all, &spelled, &mut random);
        let (before, behind) = match &quiet {
            Some((before, behind)) => (before.clone(), behind.clone()),
            None => (around(&spelled, &mut random), around(&spelled, &mut random)),
        };
        let text = [&before[..], &spelled.text, &behind].concat();
        let out = if case == 0 {
            // The script names this value while the text before it comes.
            let others = values.iter().enumerate().filter(|(other, _)| *other != at);
            let mut masking = Masking::of(others.map(|(_, value)| value.as_slice()));
            let mut out = masked(&mut masking, &before, false, &mut random);
            masking.learn([values[at].as_slice()]);
            out.extend(masked(&mut masking, &text[before.len()..], true, &mut random));
            out
        } else {
            masked(&mut masking, &text, true, &mut random)
        };
        let told = || {
            let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
            format!(
                "LONGSHORE_FUZZ_SEED={seed}, group {group}, case {case}: {} of {}\n{}\nbecame\n{}",
                spelled.how,
                show(&values[at]),
                show(&text),
                show(&out)
            )
        };
        // Text of the script may hold a value by chance, before it was named.
        let leaked = (case > 0 || quiet.is_some()).then(|| left(&all, &out)).flatten();
        assert!(leaked.is_none(), "{:?} is left: {}", leaked.unwrap(), told());
        if quiet.is_some() && spelled.exact {
            let text = &spelled.text;
            let wanted = |(first, last): (usize, usize)| {
                out == [&before[..], &text[..first], MASK, &text[last..], &behind].concat()
            };
            assert!(spelled.gone().into_iter().any(wanted), "not exactly the value: {}", told());
        }
    }
    cases
}

/// Passes the text in pieces.
fn masked(masking: &mut Masking, text: &[u8], ends: bool, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let largest = *random.pick(&[1, 2, 5, 17, 100, 1000]);
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rest.len().min(1 + random.below(largest)));
        out.extend_from_slice(masking.push(piece));
        rest = more;
    }
    if ends {
        out.extend_from_slice(masking.finish());
    }
    out
}

/// The spelling that is still in the text, if one is.
fn left<'a>(all: &'a [Spelled], text: &[u8]) -> Option<&'a Spelled> {
    let found = |secret: &[u8]| text.windows(secret.len()).any(|window| window == secret);
    all.iter().find(|spelled| found(&spelled.text[spelled.secret.0..spelled.secret.1]))
}

/// A value in one spelling.
#[derive(Debug, Clone)]
struct Spelled {
    how: &'static str,
    text: Vec<u8>,
    /// The part of the text that depends on the value alone.
    secret: (usize, usize),
    /// Whether just this part is masked. Shells differ in quotes at the ends of a value.
    exact: bool,
}

impl Spelled {
    fn new(how: &'static str, text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self { how, secret: (0, text.len()), text, exact: true }
    }

    /// The parts that may be gone: the secret, and at its ends a character of base64 that holds bits of the neighbour, too.
    /// The values of a group may be so alike that it belongs to one of them.
    fn gone(&self) -> Vec<(usize, usize)> {
        let (first, last) = self.secret;
        let shared = usize::from(self.how == "base64");
        let firsts = first.saturating_sub(shared)..=first;
        firsts
            .flat_map(|first| (last..=self.text.len().min(last + shared)).map(move |last| (first, last)))
            .collect()
    }

    fn all(value: &[u8]) -> Vec<Self> {
        const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
        const PYTHON: &AsciiSet = &UNRESERVED.remove(b'/');
        const JAVASCRIPT: &AsciiSet =
            &UNRESERVED.remove(b'!').remove(b'\'').remove(b'(').remove(b')').remove(b'*');
        const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');
        let mut all = vec![Self::new("plain", value)];
        for before in 0..3 {
            all.extend(
                [false, true].map(|url| base64("base64", &[b'x'; 2][..before], value, b"", true, url)),
            );
        }
        for width in [64, 76] {
            all.extend(lines_of_base64(value, width));
        }
        let hex = value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        all.push(Self::new("HEX", hex.to_uppercase()));
        all.push(Self::new("hex", hex));
        for set in [UNRESERVED, PYTHON, JAVASCRIPT, FORM] {
            let upper = percent_encode(value, set).to_string();
            let lower = lower_escapes(&upper);
            if set != JAVASCRIPT && set != PYTHON {
                all.extend([&upper, &lower].map(|text| Self::new("form", text.replace("%20", "+"))));
            }
            if set != FORM {
                all.extend([upper, lower].map(|text| Self::new("url", text)));
            }
        }
        if let Ok(text) = str::from_utf8(value) {
            let json = serde_json::to_string(text).unwrap();
            let json = &json[1..json.len() - 1];
            let ascii = json.chars().fold(String::new(), |mut out, character| {
                if character > '~' {
                    character
                        .encode_utf16(&mut [0; 2])
                        .iter()
                        .for_each(|unit| out += &format!("\\u{unit:04x}"));
                } else {
                    out.push(character);
                }
                out
            });
            let go = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
            all.extend(
                [json.to_owned(), ascii, json.replace('/', "\\/")].map(|text| Self::new("json", text)),
            );
            all.push(Self::new("json of Go", go));
        }
        let quoted = |how, quote: &str| {
            let text: Vec<u8> = value
                .iter()
                .flat_map(|&byte| match byte {
                    b'\'' => quote.as_bytes().to_vec(),
                    other => vec![other],
                })
                .collect();
            Self { exact: false, ..Self::new(how, text) }
        };
        // At an end of the value the quotes are left: shells differ in them.
        if !value.starts_with(b"'") && !value.ends_with(b"'") {
            all.push(quoted("bash", "'\\''"));
            all.push(quoted("shlex", "'\"'\"'"));
            all.push(quoted("sql", "''"));
        }
        let double: Vec<u8> = value
            .iter()
            .flat_map(|&byte| match byte {
                b'$' | b'`' | b'"' | b'\\' => vec![b'\\', byte],
                other => vec![other],
            })
            .collect();
        all.push(Self { exact: false, ..Self::new("double quotes", double) });
        // A value that is its own spelling is one of them.
        all
    }

    /// The same within a longer text, if it can be: base64 of more than the value.
    fn embedded(&self, value: &[u8], random: &mut Random) -> Self {
        if self.how != "base64" {
            return self.clone();
        }
        // Bytes of the value might continue it.
        let others: Vec<u8> = (0..=255).filter(|byte| !value.contains(byte)).collect();
        let mut neighbours = || -> Vec<u8> { (0..random.below(7)).map(|_| *random.pick(&others)).collect() };
        let (before, behind) = (neighbours(), neighbours());
        base64("base64", &before, value, &behind, random.percent(50), random.percent(50))
    }
}

/// The characters whose six bits are all the value's.
fn base64(how: &'static str, before: &[u8], value: &[u8], behind: &[u8], padded: bool, url: bool) -> Spelled {
    let engine = match (padded, url) {
        (true, false) => STANDARD,
        (true, true) => URL_SAFE,
        (false, false) => STANDARD_NO_PAD,
        (false, true) => URL_SAFE_NO_PAD,
    };
    let text = engine.encode([before, value, behind].concat()).into_bytes();
    let secret = ((before.len() * 8).div_ceil(6), (before.len() + value.len()) * 8 / 6);
    Spelled { secret, ..Spelled::new(how, text) }
}

/// Each line of base64 that tools break into lines of this width. The last one counts if it is long enough.
fn lines_of_base64(value: &[u8], width: usize) -> Vec<Spelled> {
    let text = STANDARD.encode(value);
    let certain = value.len() * 8 / 6;
    let lines = text.as_bytes().chunks(width).enumerate().map(|(number, line)| Spelled {
        secret: (0, line.len().min(certain - (number * width).min(certain))),
        exact: false,
        ..Spelled::new("lines of base64", line)
    });
    let long = |line: &Spelled| certain > width && line.secret.1 >= SHORTEST_LINE;
    lines.filter(long).collect()
}

fn lower_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| format!("{out}%{}{}", part[..2].to_lowercase(), &part[2..]))
}

/// A value as people have them, or worse.
fn value(random: &mut Random) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const SIGNS: &[u8] = b" !\"#$%&'()+,-./:;<=>?@[\\]^_`{|}~aB3";
    let len = *random.pick(&[SHORTEST, 7, 8, 9, 12, 16, 20, 33, 40, 64, 65, 100, 300]);
    loop {
        let value: Vec<u8> = match random.below(6) {
            0 => (0..len).map(|_| u8::try_from(random.below(256)).unwrap()).collect(),
            1 | 2 => (0..len).map(|_| *random.pick(LETTERS)).collect(),
            3 => (0..len).map(|_| *random.pick(SIGNS)).collect(),
            // It repeats itself.
            4 => (0..len).map(|_| *random.pick(b"ab")).collect(),
            _ => {
                let some = ["pass", "w\u{f6}rd", "/", "\u{1f600}", "+", "=", "\"", "'", "\n", "<b>", "x"];
                let mut text = String::new();
                while text.len() < len {
                    text.push_str(random.pick::<&str>(&some));
                }
                text.into_bytes()
            }
        };
        let value = value.trim_ascii().to_vec();
        // Its own stars are not told from a mask.
        if value.len() >= SHORTEST && !value.contains(&b'*') {
            return value;
        }
    }
}

/// Text that is nothing of the values, for half of the cases: what is gone can be told then.
fn quiet(all: &[Spelled], spelled: &Spelled, random: &mut Random) -> Option<(Vec<u8>, Vec<u8>)> {
    if random.percent(50) {
        return None;
    }
    let used = |byte: &u8| all.iter().any(|other| other.text.contains(byte)) || spelled.text.contains(byte);
    // With one of these in front, a value may be its own spelling for a shell that is not tried here.
    let quotes = |byte: &u8| b"\\'\"%".contains(byte);
    let free = (b' '..=b'~').chain([0, 1, 2, 3, 0xfe, 0xff]).filter(|byte| !used(byte) && !quotes(byte));
    let free: Vec<u8> = free.collect();
    if free.is_empty() {
        return None;
    }
    let mut text = || (0..random.below(40)).map(|_| *random.pick(&free)).collect::<Vec<u8>>();
    Some((text(), text()))
}

/// Text that looks like the value and is not: parts of it, again and again.
fn around(spelled: &Spelled, random: &mut Random) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..random.below(6) {
        let (from, to) = (random.below(spelled.text.len()), random.below(spelled.text.len() + 1));
        text.extend_from_slice(&spelled.text[from.min(to)..from.max(to)]);
        if random.percent(30) {
            text.push(u8::try_from(random.below(256)).unwrap());
        }
        if random.percent(10) {
            text.extend_from_slice(&spelled.text);
        }
    }
    text
}
