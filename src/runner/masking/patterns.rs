//! The secret texts, ready to be compared with a stream byte by byte.
//!
//! They lie in a sorted list, which is walked as if it were a trie: a walk is the part of the list
//! whose texts begin with the bytes seen so far. An automaton of the same texts takes some 40 bytes
//! for each of theirs, and the forms of one Secret of 1 MiB have 15 MiB and more; this memory is
//! that of the user's container.

use std::{fmt, ops::RangeInclusive, rc::Rc};

/// No text may be shorter: a walk begins where this many bytes fit.
pub(super) const MIN_TEXT_BYTES: usize = 4;
/// The filter has two to the power of so many bits: 32 KiB, what a processor has at hand, and up to
/// 512 KiB for many texts. At 64 bits a text one place in 64 gets through by chance.
const FILTER_BITS: RangeInclusive<u32> = 18..=22;
const FILTER_BITS_A_TEXT: usize = 64;

/// The texts to be masked. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::runner) struct Patterns(Option<Rc<Texts>>);

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets have no business in a debug text.
        f.debug_struct("Patterns").finish_non_exhaustive()
    }
}

impl Patterns {
    /// Prepares `texts`, each of which has at least [`MIN_TEXT_BYTES`]; shorter ones are left out.
    pub(in crate::runner) fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self::of(texts.into_iter().map(Rc::from).collect())
    }

    /// These and `more`. No text is copied.
    pub(super) fn with<'a>(&'a self, more: impl IntoIterator<Item = &'a Rc<[u8]>>) -> Self {
        let known = self.0.iter().flat_map(|texts| texts.sorted.iter());
        Self::of(known.chain(more).cloned().collect())
    }

    fn of(mut texts: Vec<Rc<[u8]>>) -> Self {
        texts.retain(|text| text.len() >= MIN_TEXT_BYTES);
        if texts.is_empty() {
            return Self(None);
        }
        texts.sort_unstable();
        texts.dedup();
        let bits = texts.len().saturating_mul(FILTER_BITS_A_TEXT).checked_ilog2().unwrap_or(0) + 1;
        let bits = bits.clamp(*FILTER_BITS.start(), *FILTER_BITS.end());
        let mut filter = Filter { words: vec![0; 1 << (bits - 6)], shift: u32::BITS - bits };
        for text in &texts {
            let (word, bit) = filter.place(text);
            filter.words[word] |= bit;
        }
        Self(Some(Rc::new(Texts { sorted: texts, filter })))
    }

    pub(super) fn texts(&self) -> Option<Rc<Texts>> {
        self.0.clone()
    }
}

/// The sorted list.
pub(super) struct Texts {
    /// All different.
    sorted: Vec<Rc<[u8]>>,
    /// Which first bytes there are, by their hash: most of a stream is passed over by it.
    filter: Filter,
}

struct Filter {
    words: Vec<u64>,
    /// What is left of a hash fits the words.
    shift: u32,
}

/// A place in the stream where texts may have begun: those of `first..end` begin with the `depth`
/// bytes that were seen, and are longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    first: usize,
    end: usize,
    depth: usize,
}

/// What a byte did to a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// A text ends here.
    pub(super) found: bool,
    /// There are longer ones.
    pub(super) goes_on: bool,
}

impl Texts {
    /// Whether a text may begin with the first [`MIN_TEXT_BYTES`] of `bytes`.
    pub(super) fn may_begin(&self, bytes: &[u8]) -> bool {
        let (word, bit) = self.filter.place(bytes);
        self.filter.words[word] & bit != 0
    }

    /// Begins a walk over the first [`MIN_TEXT_BYTES`] of a text.
    pub(super) fn begin(&self, bytes: &[u8]) -> (Walk, Step) {
        let (first, end) = self.beginning_with(bytes);
        self.settle(Walk { first, end, depth: bytes.len() })
    }

    /// Whether a text begins with all of `bytes`.
    pub(super) fn has_beginning(&self, bytes: &[u8]) -> bool {
        let (first, end) = self.beginning_with(bytes);
        first < end
    }

    /// Goes on by one byte.
    pub(super) fn step(&self, walk: Walk, byte: u8) -> (Walk, Step) {
        let Walk { mut first, mut end, depth } = walk;
        // Nearly always there is one text only.
        if end - first == 1 {
            if self.sorted[first][depth] != byte {
                end = first;
            }
        } else {
            let range = &self.sorted[first..end];
            end = first + range.partition_point(|text| text[depth] <= byte);
            first += range.partition_point(|text| text[depth] < byte);
        }
        self.settle(Walk { first, end, depth: depth + 1 })
    }

    /// How many bytes more the longest text of a walk has.
    pub(super) fn rest(&self, walk: Walk) -> usize {
        let longest = self.sorted[walk.first..walk.end].iter().map(|text| text.len()).max();
        longest.unwrap_or(0).saturating_sub(walk.depth)
    }

    /// Takes a text that is whole out of the walk; it sorts before those that go on.
    fn settle(&self, mut walk: Walk) -> (Walk, Step) {
        let found = walk.first < walk.end && self.sorted[walk.first].len() == walk.depth;
        walk.first += usize::from(found);
        (walk, Step { found, goes_on: walk.first < walk.end })
    }

    fn beginning_with(&self, bytes: &[u8]) -> (usize, usize) {
        let first = self.sorted.partition_point(|text| &**text < bytes);
        let rest = &self.sorted[first..];
        // What gets through the filter by chance costs no second search.
        if !rest.first().is_some_and(|text| text.starts_with(bytes)) {
            return (first, first);
        }
        (first, first + rest.partition_point(|text| text.starts_with(bytes)))
    }
}

impl Filter {
    /// Where the filter has the first bytes of a text.
    fn place(&self, bytes: &[u8]) -> (usize, u64) {
        let first = bytes.first_chunk().map_or(0, |first: &[u8; MIN_TEXT_BYTES]| u32::from_le_bytes(*first));
        // Fibonacci hashing: the upper bits of the product are the mixed ones.
        let hash = first.wrapping_mul(0x9e37_79b1) >> self.shift;
        ((hash >> 6) as usize, 1 << (hash & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(texts: &[&str], bytes: &str) -> Vec<usize> {
        let patterns = Patterns::new(texts.iter().map(|text| text.as_bytes().to_vec()));
        let texts = patterns.texts().unwrap();
        let (mut walk, mut step) = texts.begin(&bytes.as_bytes()[..MIN_TEXT_BYTES]);
        let mut found = vec![];
        for at in MIN_TEXT_BYTES..=bytes.len() {
            if step.found {
                found.push(at);
            }
            if !step.goes_on || at == bytes.len() {
                break;
            }
            (walk, step) = texts.step(walk, bytes.as_bytes()[at]);
        }
        found
    }

    #[test]
    fn a_walk_finds_every_text_that_begins_there() {
        let texts = ["abcd", "abcdef", "abcdeg", "abcdefgh", "abce", "zzzz"];
        assert_eq!(walked(&texts, "abcdefgh"), [4, 6, 8]);
        assert_eq!(walked(&texts, "abcdegh"), [4, 6]);
        assert_eq!(walked(&texts, "abcf"), [0; 0]);
        assert_eq!(walked(&texts, "abcex"), [4]);
    }

    #[test]
    fn a_beginning_is_known() {
        let texts = Patterns::new(vec![b"abcdef".to_vec(), b"xbcdef".to_vec()]).texts().unwrap();
        assert!(texts.has_beginning(b"a") && texts.has_beginning(b"xbc"));
        assert!(!texts.has_beginning(b"b") && !texts.has_beginning(b"ac"));
        assert!(texts.may_begin(b"abcd...") && !texts.may_begin(b"bcde"));
    }
}
