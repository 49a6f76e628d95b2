//! Replaces secret texts in a stream. How the stream is cut into pieces does not matter.

use std::ops::Range;

use super::patterns::{MIN_TEXT_BYTES, Patterns, Texts, Walk};

/// The text that replaces a secret.
pub(super) const MASK: &[u8] = b"***";
/// How many secrets may be half found at once. Each begins within the one before it. So only a text that
/// repeats itself has more, such as a row of 300 equal characters.
const MAX_WALKS: usize = 256;

impl Patterns {
    /// Masks a complete text.
    pub(in crate::runner) fn mask(&self, text: &[u8]) -> Vec<u8> {
        let mut masker = Masker::new(self.clone());
        let mut whole = masker.push(text).to_vec();
        whole.extend_from_slice(masker.finish());
        whole
    }

    /// Masks a complete string.
    pub(in crate::runner) fn mask_str(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.mask(text.as_bytes())).into_owned()
    }
}

/// Masks one stream. The result does not depend on how the stream is cut.
///
/// The masker holds the last bytes back while they may be the beginning of a secret. It never holds more than
/// the longest secret.
#[derive(Debug)]
pub(in crate::runner) struct Masker {
    patterns: Patterns,
    held: Vec<u8>,
    /// The places in `held` at which secrets may begin, in ascending order.
    walks: Vec<(usize, Walk)>,
    /// How many of the next bytes are masked without a comparison.
    blind: usize,
    /// The secrets within `held`, in ascending order. None overlaps or touches another.
    found: Vec<Range<usize>>,
    /// Whether the last output was a mask.
    joined: bool,
    out: Vec<u8>,
}

impl Masker {
    pub(in crate::runner) const fn new(patterns: Patterns) -> Self {
        Self { patterns, held: vec![], walks: vec![], blind: 0, found: vec![], joined: false, out: vec![] }
    }

    /// Takes the stream's next bytes and returns those that are now certain.
    pub(in crate::runner) fn push<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(texts) = self.patterns.texts() else { return bytes };
        let new = self.held.len();
        self.held.extend_from_slice(bytes);
        self.scan(&texts, new);
        self.release(self.certain(&texts));
        &self.out
    }

    /// Searches for other secrets from here on, also in the bytes held back. Secrets that were found stay
    /// masked.
    pub(in crate::runner) fn learn(&mut self, patterns: &Patterns) {
        self.patterns = patterns.clone();
        self.walks.clear();
        let Some(texts) = self.patterns.texts() else { return };
        let mut all = std::mem::take(&mut self.found);
        let blind = std::mem::take(&mut self.blind);
        // A walk through the old list means nothing in the new one. A secret that may have begun lies in the
        // bytes held back, so the new search finds it there.
        self.scan(&texts, 0);
        self.blind = self.blind.max(blind);
        all.append(&mut self.found);
        all.sort_unstable_by_key(|secret| secret.start);
        for secret in all {
            add(&mut self.found, secret);
        }
    }

    /// Searches the held bytes from `at` on.
    fn scan(&mut self, texts: &Texts, mut at: usize) {
        while at < self.held.len() {
            if self.walks.is_empty() && self.blind == 0 {
                let from = (at + 1).saturating_sub(MIN_TEXT_BYTES);
                let mut windows = self.held[from..].windows(MIN_TEXT_BYTES);
                let Some(skip) = windows.position(|window| texts.may_begin(window)) else { break };
                at = from + skip + MIN_TEXT_BYTES - 1;
            }
            self.take(texts, at);
            at += 1;
        }
    }

    /// Searches one more byte, the one at `at` in `held`.
    fn take(&mut self, texts: &Texts, at: usize) {
        let Self { held, walks, blind, found, .. } = self;
        let end = at + 1;
        if *blind > 0 {
            *blind -= 1;
            add(found, at..end);
        }
        walks.retain_mut(|(start, walk)| {
            let (next, step) = texts.step(*walk, held[at]);
            *walk = next;
            if step.found {
                add(found, *start..end);
            }
            step.goes_on
        });
        let Some(start) = end.checked_sub(MIN_TEXT_BYTES) else { return };
        let first = &held[start..end];
        if !texts.may_begin(first) {
            return;
        }
        let (walk, step) = texts.begin(first);
        if step.found {
            add(found, start..end);
        }
        if step.goes_on {
            walks.push((start, walk));
        }
        if walks.len() > MAX_WALKS {
            // Following them all would take unbounded time, and dropping one might show a secret. So
            // everything that may be a secret is masked.
            add(found, walks[0].0..end);
            *blind = walks.iter().map(|&(_, walk)| texts.rest(walk)).max().unwrap_or(0).max(*blind);
            walks.clear();
        }
    }

    /// How many of the held bytes no later match can reach.
    fn certain(&self, texts: &Texts) -> usize {
        if let Some(&(start, _)) = self.walks.first() {
            return start;
        }
        let len = self.held.len();
        let last = len.saturating_sub(MIN_TEXT_BYTES - 1)..len;
        last.into_iter().find(|&start| texts.has_beginning(&self.held[start..])).unwrap_or(len)
    }

    /// Ends the stream and returns the bytes held back.
    pub(in crate::runner) fn finish(&mut self) -> &[u8] {
        self.release(self.held.len());
        self.walks.clear();
        self.blind = 0;
        self.joined = false;
        &self.out
    }

    /// Moves the first `end` held bytes to `out`. No later match may reach into them.
    fn release(&mut self, end: usize) {
        self.out.clear();
        let mut at = 0;
        for secret in self.found.iter().take_while(|secret| secret.start < end) {
            if secret.start > at {
                self.out.extend_from_slice(&self.held[at..secret.start]);
                self.joined = false;
            }
            // A secret that continues behind `end`, or touches the one before it, has its mask already.
            if !self.joined {
                self.out.extend_from_slice(MASK);
                self.joined = true;
            }
            at = secret.end.min(end);
        }
        if at < end {
            self.out.extend_from_slice(&self.held[at..end]);
            self.joined = false;
        }
        self.held.drain(..end);
        for (start, _) in &mut self.walks {
            *start = start.saturating_sub(end);
        }
        self.found.retain_mut(|secret| {
            *secret = secret.start.saturating_sub(end)..secret.end.saturating_sub(end);
            secret.end > 0
        });
    }
}

/// Adds a secret and joins it with those that it overlaps or touches. `new` must end behind all of them, or
/// must not begin before the last of them.
fn add(found: &mut Vec<Range<usize>>, mut new: Range<usize>) {
    while let Some(last) = found.last()
        && last.end >= new.start
    {
        new = new.start.min(last.start)..new.end.max(last.end);
        found.pop();
    }
    found.push(new);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        Patterns::new(texts.iter().map(|text| text.as_bytes().to_vec()))
    }

    fn mask(texts: &[&str], text: &str) -> String {
        patterns(texts).mask_str(text)
    }

    #[test]
    fn a_secret_becomes_stars() {
        assert_eq!(mask(&["hunter2"], "a hunter2 b hunter"), "a *** b hunter");
    }

    #[test]
    fn overlapping_and_touching_secrets_become_one_mask() {
        assert_eq!(mask(&["abcdef", "defghi"], "xabcdefghiy"), "x***y");
        assert_eq!(mask(&["abcdef"], "abcdefabcdef"), "***");
        assert_eq!(mask(&["cdef", "abcdefgh"], "xabcdefghy"), "x***y");
        assert_eq!(mask(&["cdef", "abcdefgh"], "xabcdefgy"), "xab***gy");
        assert_eq!(mask(&["aaaa"], "aaaaaa a"), "*** a");
    }

    #[test]
    fn touching_secrets_in_different_pieces_become_one_mask() {
        let mut masker = Masker::new(patterns(&["abcdef"]));
        assert_eq!(masker.push(b"xabcdef"), b"x***");
        assert_eq!(masker.push(b"abc"), b"");
        assert_eq!(masker.push(b"def."), b".");
        assert_eq!(masker.push(b"abcdef"), b"***");
        assert_eq!(masker.push(b"ab"), b"");
        assert_eq!(masker.finish(), b"ab");
    }

    #[test]
    fn a_beginning_without_an_end_comes_out_with_the_stream_s_end() {
        let mut masker = Masker::new(patterns(&["secret"]));
        assert_eq!(masker.push(b"a secre"), b"a ");
        assert_eq!(masker.finish(), b"secre");
    }

    #[test]
    fn without_secrets_nothing_is_copied() {
        let text = b"text".to_vec();
        let mut masker = Masker::new(Patterns::default());
        assert!(std::ptr::eq(masker.push(&text), text.as_slice()));
    }

    #[test]
    fn no_more_is_held_back_than_the_longest_secret() {
        let mut masker = Masker::new(patterns(&["aaaaaaab"]));
        for _ in 0..100 {
            masker.push(&[b'a'; 1000]);
            assert!(masker.held.len() < 8);
        }
    }

    #[test]
    fn in_a_text_that_repeats_itself_too_much_is_masked_and_nothing_shown() {
        let secret = format!("{}end of the secret", "a".repeat(1000));
        let stream = format!("x{}{} {}", "a".repeat(700), secret, "y".repeat(2000));
        let patterns = patterns(&[&secret]);
        let whole = patterns.mask(stream.as_bytes());
        assert!(whole.starts_with(b"x***") && whole.ends_with(b"yyy"), "{}", String::from_utf8_lossy(&whole));
        assert!(!String::from_utf8_lossy(&whole).contains("end of"));
        let mut masker = Masker::new(patterns);
        let mut out: Vec<u8> = stream.bytes().flat_map(|byte| masker.push(&[byte]).to_vec()).collect();
        out.extend_from_slice(masker.finish());
        assert_eq!(out, whole);
    }

    /// Masks in the simplest way, to compare with.
    fn reference(secrets: &[String], text: &[u8]) -> Vec<u8> {
        let mut masked = vec![false; text.len()];
        for secret in secrets {
            for at in 0..text.len() {
                if text[at..].starts_with(secret.as_bytes()) {
                    masked[at..at + secret.len()].fill(true);
                }
            }
        }
        shown(text, &masked)
    }

    fn shown(text: &[u8], masked: &[bool]) -> Vec<u8> {
        let mut out = vec![];
        for at in 0..text.len() {
            if !masked[at] {
                out.push(text[at]);
            } else if at == 0 || !masked[at - 1] {
                out.extend_from_slice(MASK);
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        // Few letters, so that secrets overlap, touch and nest.
        #[test]
        fn any_cut_gives_what_masking_means(
            secrets in proptest::collection::vec("[ab]{4,7}", 0..5),
            pieces in proptest::collection::vec("[abc]{0,9}", 0..12),
        ) {
            let texts: Vec<Vec<u8>> = secrets.iter().map(|secret| secret.clone().into_bytes()).collect();
            let mut masker = Masker::new(Patterns::new(texts));
            let mut out = vec![];
            for piece in &pieces {
                out.extend_from_slice(masker.push(piece.as_bytes()));
            }
            out.extend_from_slice(masker.finish());
            prop_assert_eq!(&out, &reference(&secrets, pieces.concat().as_bytes()));
            let out = String::from_utf8(out).unwrap();
            prop_assert!(secrets.iter().all(|secret| !out.contains(secret.as_str())));
        }

        #[test]
        fn what_is_learned_in_between_loses_no_match(
            old in proptest::collection::vec("[ab]{4,7}", 0..3),
            new in proptest::collection::vec("[ab]{4,7}", 0..3),
            before in "[abc]{0,20}",
            behind in "[abc]{0,20}",
            size in 1usize..10,
        ) {
            let texts = |secrets: &[String]| -> Vec<Vec<u8>> {
                secrets.iter().map(|secret| secret.clone().into_bytes()).collect()
            };
            let more: Vec<std::rc::Rc<[u8]>> = texts(&new).into_iter().map(std::rc::Rc::from).collect();
            let first = Patterns::new(texts(&old));
            let both = first.with(&more);
            let mut masker = Masker::new(first);
            let mut out = vec![];
            for piece in before.as_bytes().chunks(size) {
                out.extend_from_slice(masker.push(piece));
            }
            let left = before.len() - masker.held.len();
            masker.learn(&both);
            for piece in behind.as_bytes().chunks(size) {
                out.extend_from_slice(masker.push(piece));
            }
            out.extend_from_slice(masker.finish());
            // New secrets are known in what was held back, and behind it.
            let text = [before.as_bytes(), behind.as_bytes()].concat();
            let mut masked = vec![false; text.len()];
            for (secrets, from) in [(&old, 0), (&new, left)] {
                for secret in secrets {
                    for at in from..text.len() {
                        if text[at..].starts_with(secret.as_bytes()) {
                            masked[at..at + secret.len()].fill(true);
                        }
                    }
                }
            }
            prop_assert_eq!(out, shown(&text, &masked));
        }

        #[test]
        fn text_without_secrets_stays_as_it_is(text in proptest::collection::vec(0u8..0x60, 0..200)) {
            prop_assert_eq!(patterns(&["abcdef", "xyzxyz"]).mask(&text), text);
        }
    }
}
