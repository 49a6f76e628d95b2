//! Replaces secret texts in a stream, however it is cut into pieces.

use std::{fmt, ops::Range, rc::Rc};

use aho_corasick::{
    Anchored, BuildError, MatchKind,
    automaton::{Automaton, StateID},
    nfa::noncontiguous::NFA,
};

/// What stands where a secret was.
pub(super) const MASK: &[u8] = b"***";

/// The texts to be masked, ready for search. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Patterns(Option<Rc<Search>>);

struct Search {
    nfa: NFA,
    start: StateID,
    /// By state: how many of the last bytes may be the beginning of a secret.
    depths: Vec<usize>,
    /// The bytes with which secrets begin, so that most of a text is passed over quickly.
    first: [bool; 256],
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets have no business in a debug text.
        f.debug_struct("Patterns").finish_non_exhaustive()
    }
}

impl Patterns {
    /// Prepares `texts`; empty ones are left out.
    ///
    /// # Errors
    /// Where there are too many for the automaton.
    pub(super) fn new(texts: &[Vec<u8>]) -> Result<Self, BuildError> {
        let texts: Vec<&Vec<u8>> = texts.iter().filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            return Ok(Self(None));
        }
        let nfa = NFA::builder().match_kind(MatchKind::Standard).prefilter(false).build(&texts)?;
        let Ok(start) = nfa.start_state(Anchored::No) else {
            // This kind of automaton has both kinds of start states.
            return Ok(Self(None));
        };
        let mut depths = vec![0];
        let mut first = [false; 256];
        for text in &texts {
            first[usize::from(text[0])] = true;
            let mut state = start;
            for (index, &byte) in text.iter().enumerate() {
                // While a pattern's own bytes are walked no failure link is taken, so the state is
                // that of the prefix, and its depth the prefix's length.
                state = nfa.next_state(Anchored::No, state, byte);
                if depths.len() <= state.as_usize() {
                    depths.resize(state.as_usize() + 1, 0);
                }
                depths[state.as_usize()] = index + 1;
            }
        }
        Ok(Self(Some(Rc::new(Search { nfa, start, depths, first }))))
    }

    /// A text that is at hand as a whole, masked.
    pub(super) fn mask(&self, text: &[u8]) -> Vec<u8> {
        let mut masker = Masker::new(self.clone());
        let mut whole = masker.push(text).to_vec();
        whole.extend_from_slice(masker.finish());
        whole
    }

    /// The same for text.
    pub(super) fn mask_str(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.mask(text.as_bytes())).into_owned()
    }
}

impl Search {
    fn depth(&self, state: StateID) -> usize {
        self.depths.get(state.as_usize()).copied().unwrap_or(0)
    }

    /// The length of the longest secret that ends in this state; 0 for none.
    fn longest(&self, state: StateID) -> usize {
        (0..self.nfa.match_len(state))
            .map(|index| self.nfa.pattern_len(self.nfa.match_pattern(state, index)))
            .max()
            .unwrap_or(0)
    }
}

/// Masks one stream. What comes out does not depend on how the stream is cut.
///
/// Held back are the last bytes as long as they may be the beginning of a secret: never more than
/// the longest one.
#[derive(Debug)]
pub(super) struct Masker {
    patterns: Patterns,
    state: Option<StateID>,
    held: Vec<u8>,
    /// Secrets within `held`: ascending, neither overlapping nor adjacent.
    found: Vec<Range<usize>>,
    /// Whether a mask was the last thing that came out.
    joined: bool,
    out: Vec<u8>,
}

impl Masker {
    pub(super) const fn new(patterns: Patterns) -> Self {
        Self { patterns, state: None, held: vec![], found: vec![], joined: false, out: vec![] }
    }

    /// Takes the stream's next bytes and gives those that are certain by now.
    pub(super) fn push<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(search) = self.patterns.0.clone() else { return bytes };
        let mut state = self.state.unwrap_or(search.start);
        let mut at = self.held.len();
        self.held.extend_from_slice(bytes);
        while at < self.held.len() {
            if state == search.start {
                let rest = &self.held[at..];
                let Some(skip) = rest.iter().position(|&byte| search.first[usize::from(byte)]) else { break };
                at += skip;
            }
            state = search.nfa.next_state(Anchored::No, state, self.held[at]);
            at += 1;
            if search.nfa.is_match(state) {
                self.add(at.saturating_sub(search.longest(state))..at);
            }
        }
        self.state = Some(state);
        self.release(self.held.len() - search.depth(state).min(self.held.len()));
        &self.out
    }

    /// Ends the stream and gives what was held back.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.release(self.held.len());
        self.state = None;
        self.joined = false;
        &self.out
    }

    /// Joins a secret with those that it overlaps or touches. It ends behind all of them.
    fn add(&mut self, mut new: Range<usize>) {
        while let Some(last) = self.found.last()
            && last.end >= new.start
        {
            new.start = new.start.min(last.start);
            self.found.pop();
        }
        self.found.push(new);
    }

    /// Moves the first `end` held bytes to `out`: no secret that is still to be found reaches into
    /// them.
    fn release(&mut self, end: usize) {
        self.out.clear();
        let mut at = 0;
        for secret in self.found.iter().take_while(|secret| secret.start < end) {
            if secret.start > at {
                self.out.extend_from_slice(&self.held[at..secret.start]);
                self.joined = false;
            }
            // A secret that goes on behind `end`, or touches the one before it, has its mask.
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
        self.found.retain_mut(|secret| {
            *secret = secret.start.saturating_sub(end)..secret.end.saturating_sub(end);
            secret.end > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(texts: &[&str]) -> Patterns {
        Patterns::new(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>()).unwrap()
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
        assert_eq!(mask(&["cde", "abcdefg"], "xabcdefgy"), "x***y");
        assert_eq!(mask(&["cde", "abcdefg"], "xabcdefy"), "xab***fy");
        assert_eq!(mask(&["aaaa"], "aaaaaa a"), "*** a");
    }

    #[test]
    fn touching_secrets_in_different_pieces_become_one_mask() {
        let mut masker = Masker::new(patterns(&["abcdef"]));
        assert_eq!(masker.push(b"xabcdef"), b"x");
        assert_eq!(masker.push(b"abc"), b"***");
        assert_eq!(masker.push(b"def."), b".");
        assert_eq!(masker.push(b"abcdef"), b"");
        assert_eq!(masker.finish(), b"***");
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

    /// What masking means, without any cleverness.
    fn reference(secrets: &[String], text: &[u8]) -> Vec<u8> {
        let mut masked = vec![false; text.len()];
        for secret in secrets {
            for at in 0..text.len() {
                if text[at..].starts_with(secret.as_bytes()) {
                    masked[at..at + secret.len()].fill(true);
                }
            }
        }
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
            secrets in proptest::collection::vec("[abc]{1,6}", 0..5),
            pieces in proptest::collection::vec("[abcd]{0,9}", 0..12),
        ) {
            let texts: Vec<Vec<u8>> = secrets.iter().map(|secret| secret.clone().into_bytes()).collect();
            let mut masker = Masker::new(Patterns::new(&texts).unwrap());
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
        fn text_without_secrets_stays_as_it_is(text in proptest::collection::vec(0u8..0x60, 0..200)) {
            prop_assert_eq!(patterns(&["abcdef", "xyzxyz"]).mask(&text), text);
        }
    }
}
