//! The secret texts, ready to compare with a stream byte by byte.
//!
//! They lie in a sorted list. A walk goes through it as through a trie: it is the part of the list whose
//! texts begin with the bytes seen so far. An automaton would take about 40 bytes for each byte of the texts.
//! The forms of one Secret of 1 MiB have 15 MiB and more, and they use the memory of the user's container.

use std::{fmt, ops::RangeInclusive, rc::Rc};

/// The shortest text. A walk begins where this many bytes fit.
pub(super) const MIN_TEXT_BYTES: usize = 4;
/// The filter has two to this power of bits: 32 KiB, which fit a processor's cache, and up to 512 KiB for
/// many texts. With 64 bits a text, one place in 64 passes by chance.
const FILTER_BITS: RangeInclusive<u32> = 18..=22;
const FILTER_BITS_A_TEXT: usize = 64;

/// The texts to be masked. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::runner) struct Patterns(Option<Rc<Texts>>);

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A debug text must show no secret.
        f.debug_struct("Patterns").finish_non_exhaustive()
    }
}

impl Patterns {
    /// Prepares `texts`. Those shorter than [`MIN_TEXT_BYTES`] are left out.
    pub(in crate::runner) fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self::of(texts.into_iter().map(Rc::from).collect())
    }

    /// Returns these texts and `more`. No text is copied.
    pub(super) fn with<'a>(&'a self, more: impl IntoIterator<Item = &'a Rc<[u8]>>) -> Self {
        let known = self.0.iter().flat_map(|texts| texts.sorted.iter());
        Self::of(known.chain(more).cloned().collect())
    }

    /// Returns the texts of both.
    pub(in crate::runner) fn and(&self, other: &Self) -> Self {
        match &other.0 {
            None => self.clone(),
            Some(more) => self.with(&more.sorted),
        }
    }

    fn of(mut texts: Vec<Rc<[u8]>>) -> Self {
        texts.retain(|text| text.len() >= MIN_TEXT_BYTES);
        if texts.is_empty() {
            return Self(None);
        }
        // Nearly all may be in order already. Only the stable sort makes use of that.
        texts.sort();
        texts.dedup();
        let bits = texts.len().saturating_mul(FILTER_BITS_A_TEXT).checked_ilog2().unwrap_or(0) + 1;
        let bits = bits.clamp(*FILTER_BITS.start(), *FILTER_BITS.end());
        let mut filter = Filter { words: vec![0; 1 << (bits - 6)], shift: u32::BITS - bits };
        for text in &texts {
            let (word, bit) = filter.place(text);
            filter.words[word] |= bit;
        }
        let beginnings = texts.iter().map(|text| beginning(text)).collect();
        Self(Some(Rc::new(Texts { sorted: texts, beginnings, filter })))
    }

    pub(super) fn texts(&self) -> Option<Rc<Texts>> {
        self.0.clone()
    }
}

/// The sorted list.
pub(super) struct Texts {
    /// Has no text twice.
    sorted: Vec<Rc<[u8]>>,
    /// The [`beginning`]s of these texts. They lie side by side, so searching them is fast.
    beginnings: Vec<u32>,
    /// The first bytes of all texts, by their hash. With it the search skips most of a stream.
    filter: Filter,
}

struct Filter {
    words: Vec<u64>,
    /// A hash is shifted by this much to fit the words.
    shift: u32,
}

/// A place in the stream where texts may have begun. The texts `first..end` begin with the `depth` bytes seen
/// so far, and are longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    first: usize,
    end: usize,
    depth: usize,
}

/// The effect of a byte on a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// A text ends here.
    pub(super) found: bool,
    /// Longer texts are still possible.
    pub(super) goes_on: bool,
}

impl Texts {
    /// Whether a text may begin with the first [`MIN_TEXT_BYTES`] of `bytes`.
    pub(super) fn may_begin(&self, bytes: &[u8]) -> bool {
        let (word, bit) = self.filter.place(bytes);
        self.filter.words[word] & bit != 0
    }

    /// Begins a walk over the first [`MIN_TEXT_BYTES`] of `bytes`.
    pub(super) fn begin(&self, bytes: &[u8]) -> (Walk, Step) {
        let wanted = beginning(bytes);
        let first = self.beginnings.partition_point(|&of| of < wanted);
        let rest = &self.beginnings[first..];
        // Bytes that pass the filter by chance cost no second search.
        let count = if rest.first() == Some(&wanted) { rest.partition_point(|&of| of == wanted) } else { 0 };
        self.settle(Walk { first, end: first + count, depth: MIN_TEXT_BYTES })
    }

    /// Whether a text begins with all of `bytes`.
    pub(super) fn has_beginning(&self, bytes: &[u8]) -> bool {
        let first = self.sorted.partition_point(|text| &**text < bytes);
        self.sorted.get(first).is_some_and(|text| text.starts_with(bytes))
    }

    /// Continues a walk by one byte.
    pub(super) fn step(&self, walk: Walk, byte: u8) -> (Walk, Step) {
        let Walk { mut first, mut end, depth } = walk;
        // There is nearly always only one text.
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

    /// How many more bytes the longest text of a walk has.
    pub(super) fn rest(&self, walk: Walk) -> usize {
        let longest = self.sorted[walk.first..walk.end].iter().map(|text| text.len()).max();
        longest.unwrap_or(0).saturating_sub(walk.depth)
    }

    /// Takes a complete text out of the walk. It sorts before the longer ones.
    fn settle(&self, mut walk: Walk) -> (Walk, Step) {
        let found = walk.first < walk.end && self.sorted[walk.first].len() == walk.depth;
        walk.first += usize::from(found);
        (walk, Step { found, goes_on: walk.first < walk.end })
    }
}

/// The first [`MIN_TEXT_BYTES`] of a text as a number. Numbers are in the same order as texts.
fn beginning(text: &[u8]) -> u32 {
    text.first_chunk().map_or(0, |first: &[u8; MIN_TEXT_BYTES]| u32::from_be_bytes(*first))
}

impl Filter {
    /// Returns the word and the bit of the filter for the first bytes of a text.
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
