use std::{collections::BTreeSet, env, fs};

use proptest::prelude::*;

use super::*;

const CAP: u64 = 4 * MEMORY_BYTES as u64;

/// A frame that is known by its text.
fn frame(sequence: u64, length: usize) -> Vec<u8> {
    let mut line = format!("{sequence} o 0 ").into_bytes();
    line.resize(length.max(line.len()), b'x');
    line.push(b'\n');
    line
}

fn number(line: &[u8]) -> u64 {
    String::from_utf8_lossy(line).split(' ').next().unwrap().parse().unwrap()
}

/// A spool with frames of `length` bytes.
fn filled(cap: u64, frames: u64, length: usize) -> Spool {
    let mut spool = Spool::new(env::temp_dir(), cap);
    for sequence in 1..=frames {
        spool.append(1, &frame(sequence, length), Instant::now());
    }
    spool
}

/// Reads all that is behind the cursor.
fn rest(spool: &mut Spool) -> Vec<u64> {
    let (mut chunk, mut seen) = (vec![], vec![]);
    while spool.read(&mut chunk) {
        let lines: Vec<&[u8]> = chunk.split_inclusive(|&byte| byte == b'\n').collect();
        seen.extend(lines.iter().map(|line| number(line)));
        spool.advance(lines.len() as u64, chunk.len() as u64);
    }
    seen
}

#[test]
fn a_short_log_is_in_no_file_and_a_longer_one_in_files_that_are_freed() {
    let mut spool = filled(CAP, 20, 10_000);
    assert!(spool.files.is_empty());
    assert_eq!(rest(&mut spool), (1..=20).collect::<Vec<_>>());
    let mut spool = filled(CAP, 80, 10_000);
    assert_eq!(spool.files.len(), 2);
    assert_eq!(rest(&mut spool), (1..=80).collect::<Vec<_>>());
    assert!(spool.outstanding() > 800_000);
    spool.acknowledge(79);
    assert!(spool.files.is_empty() && spool.outstanding() < 2 * MARK_BYTES);
    assert_eq!(spool.dropped(9), []);
}

#[test]
fn any_frame_that_is_kept_is_found_again() {
    let mut spool = filled(CAP, 80, 10_000);
    for sequence in [1, 2, 27, 53, 54, 79, 80, 81] {
        spool.seek(sequence);
        assert_eq!(rest(&mut spool), (sequence..=80).collect::<Vec<_>>());
    }
}

#[test]
fn if_it_is_full_the_oldest_frames_go_and_are_named() {
    let mut spool = filled(CAP, 200, 10_000);
    let lost = spool.dropped(9);
    assert_eq!((lost.len(), lost[0].first), (1, 1));
    assert_eq!(rest(&mut spool), (lost[0].last + 1..=200).collect::<Vec<_>>());
    assert!(spool.outstanding() > CAP);
    spool.seek(1);
    assert_eq!((spool.next(), spool.outstanding()), (lost[0].last + 1, 0));
    spool.acknowledge(lost[0].last - 1);
    assert_eq!(spool.dropped(9), [FrameRange { first: lost[0].last, last: lost[0].last }]);
    spool.acknowledge(lost[0].last);
    assert_eq!(spool.dropped(9), []);
}

#[test]
fn the_tail_is_as_much_as_fits_and_the_rest_is_named() {
    let mut spool = filled(CAP, 80, 10_000);
    spool.skip_to_tail(300_000);
    let lost = spool.dropped(9);
    let left = rest(&mut spool);
    assert_eq!(lost, [FrameRange { first: 1, last: 80 - left.len() as u64 }]);
    assert!((23..=29).contains(&left.len()), "{}", left.len());
    // Frames that were read are not named.
    spool.skip_to_tail(0);
    assert_eq!(spool.dropped(9), lost);
}

#[test]
fn without_a_place_for_files_memory_is_bounded_and_what_is_asked_for_named() {
    for (folder, cap) in [(env::temp_dir(), 0), ("/nowhere".into(), CAP)] {
        let mut spool = Spool::new(folder, cap);
        let mut seen = vec![];
        for sequence in 1..=300 {
            if !spool.has_room() {
                seen.extend(rest(&mut spool));
            }
            spool.append(1, &frame(sequence, 10_000), Instant::now());
            assert!(spool.memory.len() < MEMORY_BYTES + 20_000);
        }
        seen.extend(rest(&mut spool));
        assert_eq!(seen, (1..=300).collect::<Vec<_>>());
        assert_eq!(spool.dropped(9), []);
        spool.seek(7);
        let lost = spool.dropped(9);
        assert_eq!((lost.len(), lost[0].first), (1, 7));
        assert_eq!(rest(&mut spool), (lost[0].last + 1..=300).collect::<Vec<_>>());
    }
}

#[test]
fn a_folder_that_is_back_is_used_again() {
    let mut spool = Spool::new("/nowhere".into(), CAP);
    let begun = Instant::now();
    let add = |spool: &mut Spool, sequence, now| spool.append(1, &frame(sequence, 10_000), now);
    for sequence in 1..=30 {
        add(&mut spool, sequence, begun);
    }
    assert!(!spool.keeps());
    spool.folder = env::temp_dir();
    for sequence in 31..=60 {
        add(&mut spool, sequence, begun + Duration::from_secs(1));
    }
    assert!(!spool.keeps() && spool.files.is_empty());
    add(&mut spool, 61, begun + RETRY);
    assert!(spool.keeps() && spool.files.len() == 1);
    assert_eq!(rest(&mut spool), (1..=61).collect::<Vec<_>>());
}

#[test]
fn nothing_in_the_folder_shows_that_there_are_files() {
    let folder = env::temp_dir().join(format!("spool-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut spool = Spool::new(folder.clone(), CAP);
    spool.append(1, &frame(1, MEMORY_BYTES), Instant::now());
    assert_eq!(spool.files.len(), 1);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir_all(&folder).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    Read(usize),
    /// A part of the frames that were read.
    Acknowledge(f64),
    /// A part of the frames that were read.
    Seek(f64),
    /// Whether files can be made.
    Disk(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = proptest::collection::vec(prop_oneof![1usize..200, 8000usize..14_900], 1..40);
    let step = prop_oneof![
        6 => append.prop_map(Step::Append),
        4 => (0usize..8).prop_map(Step::Read),
        1 => (0.0..1.0).prop_map(Step::Acknowledge),
        1 => (0.0..1.0).prop_map(Step::Seek),
        1 => any::<bool>().prop_map(Step::Disk),
    ];
    proptest::collection::vec(step, 1..40)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
fn part(of: u64, ratio: f64) -> u64 {
    (of as f64 * ratio) as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn every_frame_comes_out_as_it_went_in_or_is_named_or_acknowledged(steps in steps()) {
        let mut now = Instant::now();
        let mut spool = Spool::new(env::temp_dir(), CAP);
        let (mut made, mut read, mut furthest) = (vec![], BTreeSet::new(), 0);
        let mut chunk = vec![];
        for step in steps.into_iter().chain([Step::Read(usize::MAX)]) {
            now += Duration::from_secs(3);
            match step {
                Step::Append(lengths) => {
                    if !spool.has_room() {
                        continue;
                    }
                    let new: Vec<_> = (made.len() as u64 + 1..).zip(lengths).map(|(n, l)| frame(n, l)).collect();
                    spool.append(new.len() as u64, &new.concat(), now);
                    made.extend(new);
                    prop_assert_eq!(spool.made(), made.len() as u64);
                }
                Step::Read(chunks) => {
                    let mut left = chunks;
                    while left > 0 && spool.read(&mut chunk) {
                        left -= 1;
                        prop_assert!(chunk.len() <= CHUNK_BYTES);
                        let lines: Vec<&[u8]> = chunk.split_inclusive(|&byte| byte == b'\n').collect();
                        for (sequence, line) in (spool.next()..).zip(&lines) {
                            prop_assert_eq!(*line, made[usize::try_from(sequence).unwrap() - 1].as_slice());
                            read.insert(sequence);
                        }
                        spool.advance(lines.len() as u64, chunk.len() as u64);
                    }
                    furthest = furthest.max(spool.next() - 1);
                }
                Step::Acknowledge(ratio) => {
                    spool.acknowledge(part(furthest, ratio));
                    prop_assert!(spool.next() > spool.acked());
                }
                Step::Seek(ratio) => {
                    let to = part(furthest, ratio).max(spool.acked() + 1);
                    if to < spool.next() {
                        spool.seek(to);
                        let at = spool.next();
                        prop_assert!(at >= to);
                        let lost = spool.dropped(usize::MAX);
                        let named = |frame| lost.iter().any(|range| (range.first..=range.last).contains(&frame));
                        prop_assert!((to..at).all(named));
                    }
                }
                Step::Disk(there) => {
                    spool.folder = if there { env::temp_dir() } else { "/nowhere".into() };
                }
            }
            let stored: u64 = spool.files.iter().map(|segment| segment.stretch.bytes()).sum();
            prop_assert!(stored <= CAP);
            // A turn appends up to 40 frames.
            prop_assert!(spool.memory.len() <= MEMORY_BYTES + 40 * MAX_LINE_BYTES);
        }
        let lost = spool.dropped(usize::MAX);
        let named = |frame| lost.iter().any(|range| (range.first..=range.last).contains(&frame));
        for frame in 1..=made.len() as u64 {
            prop_assert!(read.contains(&frame) || named(frame) || frame <= spool.acked(), "{frame}");
        }
        prop_assert!(lost.iter().all(|range| range.first > spool.acked()));
    }
}
