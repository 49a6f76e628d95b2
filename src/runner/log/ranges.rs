//! A set of frames, as ranges.

use crate::record::outcome::FrameRange;

/// The most ranges. If there were more, the newest two become one, which names the frames in between too.
const MOST: usize = 256;

/// Ranges in ascending order. None overlaps or touches another.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<FrameRange>);

impl Ranges {
    /// Adds the frames from `first` to `last`. Adds none if `first` is behind `last`.
    pub(super) fn add(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let from = self.0.partition_point(|range| range.last.saturating_add(1) < first);
        let to = self.0.partition_point(|range| range.first <= last.saturating_add(1));
        let touched = self.0.get(from..to).unwrap_or_default();
        let new = FrameRange {
            first: touched.first().map_or(first, |range| range.first.min(first)),
            last: touched.last().map_or(last, |range| range.last.max(last)),
        };
        self.0.splice(from..to.max(from), [new]);
        if self.0.len() > MOST
            && let Some(newest) = self.0.pop()
            && let Some(before) = self.0.last_mut()
        {
            before.last = newest.last;
        }
    }

    /// Removes all frames up to this one.
    pub(super) fn forget_up_to(&mut self, sequence: u64) {
        self.0.retain_mut(|range| {
            range.first = range.first.max(sequence.saturating_add(1));
            range.first <= range.last
        });
    }

    /// The oldest ranges, at most `most`.
    pub(super) fn oldest(&self, most: usize) -> Vec<FrameRange> {
        self.0.iter().take(most).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn too_many_ranges_become_fewer_and_name_no_less() {
        let mut ranges = Ranges::default();
        for frame in 0..1000 {
            ranges.add(frame * 2, frame * 2);
        }
        let named = ranges.oldest(usize::MAX);
        assert_eq!(named.len(), MOST);
        let holds = |frame| named.iter().any(|range| (range.first..=range.last).contains(&frame));
        assert!((0..1000).all(|frame| holds(frame * 2)));
    }

    proptest! {
        #[test]
        fn it_holds_what_was_added_and_not_forgotten(
            steps in proptest::collection::vec((0u64..60, 0u64..8, proptest::option::weighted(0.2, 0u64..60)), 0..40),
        ) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for (first, length, forget) in steps {
                ranges.add(first, first + length);
                model.extend(first..=first + length);
                if let Some(up_to) = forget {
                    ranges.forget_up_to(up_to);
                    model.retain(|frame| *frame > up_to);
                }
            }
            let all = ranges.oldest(usize::MAX);
            let held: Vec<u64> = all.iter().flat_map(|range| range.first..=range.last).collect();
            prop_assert_eq!(held, model.into_iter().collect::<Vec<_>>());
            prop_assert!(all.windows(2).all(|pair| pair[0].last + 1 < pair[1].first));
        }
    }
}
