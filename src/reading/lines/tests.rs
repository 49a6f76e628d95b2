use super::*;
use crate::{
    reading::frames::{Frames, HELD, HELD_FRAME},
    record::{
        credit::{Beat, Control},
        frame::Frame,
        outcome::FrameRange,
        packed::Packer,
    },
};

/// The script's container started here. Frames count milliseconds from there.
fn started() -> Timestamp {
    "2026-01-31T10:42:00Z".parse().unwrap()
}

fn log(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| Frame::with_lengths(line.as_bytes())).collect()
}

fn read(lines: &[Vec<u8>], shape: Shape, selection: Selection) -> String {
    let mut writer = Writer::new(shape, selection);
    writer.started(Some(started()));
    if let Some(count) = selection.tail_lines {
        let since = Since::new(selection.since, Some(started()));
        let (mut frames, mut tail) = (Frames::default(), Tail::new(count, since));
        for line in lines {
            frames.take(line, |piece| tail.take(&piece));
        }
        frames.finish(true, |piece| tail.take(&piece));
        writer.begin_at(tail.first(frames.next()));
    }
    let (mut frames, mut out) = (Frames::default(), Vec::new());
    for line in lines {
        frames.take(line, |piece| writer.write(&piece, &mut out));
    }
    frames.finish(true, |piece| writer.write(&piece, &mut out));
    String::from_utf8(out).unwrap()
}

const LINES: [&str; 8] = [
    "1 s 0 {}",
    "2 o 1000 one",
    "3 e+ 2000 two ",
    "4 e 2100 parts",
    "not the runner's",
    "5 o 7000 three",
    "6 o- 9000 four",
    "7 z 9000 {}",
];

fn text(tail_lines: Option<usize>, since: Option<&str>) -> String {
    let since = since.map(|time| time.parse().unwrap());
    read(&log(&LINES), Shape::default(), Selection { tail_lines, since })
}

#[test]
fn a_log_reads_as_the_script_wrote_it() {
    assert_eq!(text(None, None), "one\ntwo parts\nthree\nfour");
}

#[test]
fn the_last_lines_are_lines_of_the_script_and_not_of_the_container() {
    assert_eq!(text(Some(1), None), "four");
    assert_eq!(text(Some(3), None), "two parts\nthree\nfour");
    assert_eq!(text(Some(4), None), "one\ntwo parts\nthree\nfour");
    assert_eq!(text(Some(9), None), "one\ntwo parts\nthree\nfour");
    assert_eq!(text(Some(0), None), "");
}

#[test]
fn a_line_counts_by_the_time_of_its_beginning() {
    assert_eq!(text(None, Some("2026-01-31T10:42:02Z")), "two parts\nthree\nfour");
    // Its second part came later than this.
    assert_eq!(text(None, Some("2026-01-31T10:42:02.000001Z")), "three\nfour");
    assert_eq!(text(Some(1), Some("2026-01-31T10:42:02Z")), "four");
    assert_eq!(text(Some(9), Some("2026-01-31T10:42:07Z")), "three\nfour");
    assert_eq!(text(None, Some("2027-01-01T00:00:00Z")), "");
}

#[test]
fn timestamps_stand_at_the_beginning_of_lines() {
    let shape = Shape { timestamps: true, ..Shape::default() };
    let text = read(&log(&LINES[..4]), shape, Selection::default());
    assert_eq!(text, "2026-01-31T10:42:01.000Z one\n2026-01-31T10:42:02.000Z two parts\n");
}

#[test]
fn json_has_a_frame_a_line_and_bytes_that_are_no_text_as_base64() {
    let mut lines = log(&LINES[..7]);
    lines.push(Frame::with_lengths(b"7 b 9500 \xff"));
    let shape = Shape { format: Format::JsonLines, timestamps: false, ..Shape::default() };
    let read = read(&lines, shape, Selection::default());
    let read: Vec<serde_json::Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), 6);
    assert_eq!(
        read[1],
        serde_json::json!({
            "frame": 3, "time": "2026-01-31T10:42:02.000Z", "millis": 2000, "stream": "stderr", "text": "two ",
            "continued": true,
        })
    );
    assert_eq!(read[4]["noNewline"], true);
    assert_eq!((&read[5]["base64"], &read[5]["text"]), (&"/w==".into(), &serde_json::Value::Null));
}

#[test]
fn a_gap_is_named_where_it_is() {
    let lines = log(&["3 o 0 a", "4 o 0 cut", "9 o 1 b"]);
    let whole = read(&lines, Shape::default(), Selection::default());
    assert_eq!(
        whole,
        "[longshore: frames 1 to 2 of the log are missing here]\na\ncut\n\
         [longshore: frames 5 to 8 of the log are missing here]\nb\n"
    );
    let json = Shape { format: Format::JsonLines, ..Shape::default() };
    assert!(read(&lines, json, Selection::default()).starts_with(r#"{"missing":{"first":1,"last":2}}"#));
    // Somebody who asks for the last line asks for nothing before it.
    let last = Selection { tail_lines: Some(1), since: None };
    assert_eq!(read(&lines, Shape::default(), last), "b\n");
    // The words about a gap stand on a line of their own.
    let within = read(&log(&["1 o+ 0 cut", "9 o 1 end"]), Shape::default(), Selection::default());
    assert_eq!(within, "cut\n[longshore: frames 2 to 8 of the log are missing here]\nend\n");
}

/// Somebody who follows a log, line by line.
struct Follower {
    frames: Frames,
    writer: Writer,
}

impl Follower {
    fn new() -> Self {
        Self { frames: Frames::default(), writer: Writer::new(Shape::default(), Selection::default()) }
    }

    fn takes(&mut self, line: &[u8]) -> String {
        let mut out = Vec::new();
        self.frames.take(&Frame::with_lengths(line), |piece| self.writer.write(&piece, &mut out));
        String::from_utf8(out).unwrap()
    }

    fn gives_up(&mut self) -> String {
        let mut out = Vec::new();
        self.frames.give_up(|piece| self.writer.write(&piece, &mut out));
        String::from_utf8(out).unwrap()
    }

    fn finishes(&mut self, ended: bool) -> String {
        let mut out = Vec::new();
        self.frames.finish(ended, |piece| self.writer.write(&piece, &mut out));
        String::from_utf8(out).unwrap()
    }
}

fn missing(first: u64, last: u64) -> String {
    format!("[longshore: frames {first} to {last} of the log are missing here]\n")
}

fn beat(written: u64, acked: u64, dropped: &[(u64, u64)]) -> Vec<u8> {
    let dropped = dropped.iter().map(|&(first, last)| FrameRange { first, last }).collect();
    let control = Control::Beat(Beat { made: written, generation: 0, acked, dropped });
    Frame::with_lengths(format!("{written} c 5 {}", serde_json::to_string(&control).unwrap()).as_bytes())
}

#[test]
fn what_is_read_again_is_given_once() {
    let mut follower = Follower::new();
    let lines = log(&LINES);
    let text: String = lines[..4].iter().chain(&lines).map(|line| follower.takes(line)).collect();
    assert_eq!(text, "one\ntwo parts\nthree\nfour");
}

#[test]
fn frames_that_share_a_line_are_read_one_by_one() {
    let mut packer = Packer::default();
    assert!(
        (1..)
            .zip(["1 o 0 a b\n", "2 e 0 \n", "3 o~ 0 c\\r\n"])
            .all(|(sequence, frame)| { packer.add(sequence, &Frame::with_lengths(frame.as_bytes())) })
    );
    let mut line = Vec::new();
    packer.finish(&mut line);
    let lines = [line.strip_suffix(b"\n").unwrap().to_vec(), Frame::with_lengths(b"4 o 0 d")];
    assert_eq!(read(&lines, Shape::default(), Selection::default()), "a b\n\nc\r\nd\n");
    let last = Selection { tail_lines: Some(2), since: None };
    assert_eq!(read(&lines, Shape::default(), last), "c\r\nd\n");
}

#[test]
fn the_runner_s_words_about_its_spool_are_not_shown() {
    let mut follower = Follower::new();
    let lines = [log(&["1 s 0 {}", "2 o 0 a"]), vec![beat(2, 0, &[])], log(&["3 o 0 b"])].concat();
    let text: String = lines.iter().map(|line| follower.takes(line)).collect();
    assert_eq!(text, "a\nb\n");
    assert!(!follower.frames.waits());
}

#[test]
fn frames_that_come_again_fill_their_gap() {
    let mut follower = Follower::new();
    assert_eq!(follower.takes(b"1 o 0 a"), "a\n");
    assert_eq!(follower.takes(b"4 o 0 d"), "");
    assert_eq!(follower.takes(b"5 o 0 e"), "");
    assert!(follower.frames.waits());
    // The operator has not got them either, and asks for them.
    assert_eq!(follower.takes(&beat(5, 1, &[])), "");
    assert_eq!(follower.takes(b"1 o 0 a"), "");
    assert_eq!(follower.takes(b"2 o 0 b"), "b\n");
    assert_eq!(follower.takes(b"3 o 0 c"), "c\nd\ne\n");
    assert_eq!(follower.takes(b"4 o 0 d"), "");
    assert!(!follower.frames.waits());
    assert_eq!(follower.takes(b"6 o 0 f"), "f\n");
}

#[test]
fn a_gap_that_nothing_fills_is_named_at_once() {
    let mut follower = Follower::new();
    assert_eq!(follower.takes(b"6 o 0 f"), "");
    // The operator has them, so they are not sent again.
    assert_eq!(follower.takes(&beat(6, 4, &[])), "", "the fifth may come");
    assert_eq!(follower.takes(&beat(6, 5, &[])), format!("{}f\n", missing(1, 5)));
    // The runner has lost them.
    assert_eq!(follower.takes(&beat(11, 5, &[(7, 8), (9, 11)])), missing(7, 11));
    assert_eq!(follower.takes(b"12 o 0 l"), "l\n");
    // Behind frames that the operator has, it no longer waits.
    assert_eq!(follower.takes(&beat(12, 20, &[])), "");
    assert_eq!(follower.takes(b"15 o 0 o"), format!("{}o\n", missing(13, 14)));
}

#[test]
fn a_gap_is_named_if_too_much_waits_behind_it() {
    let mut follower = Follower::new();
    let long = "x".repeat(10_000);
    let mut waiting = 0;
    let text = loop {
        let text = follower.takes(format!("{} o 0 {long}", waiting + 2).as_bytes());
        waiting += 1;
        if !text.is_empty() {
            break text;
        }
        assert!(follower.frames.held().1 <= HELD);
    };
    assert!((20..30).contains(&waiting), "{waiting}");
    assert_eq!(text.lines().count(), waiting + 1);
    assert!(text.starts_with(&missing(1, 1)) && !follower.frames.waits());
    assert_eq!(follower.frames.held(), (0, 0));
}

#[test]
fn short_frames_that_wait_count_with_what_it_costs_to_keep_them() {
    let mut follower = Follower::new();
    for sequence in 2..100_000 {
        follower.takes(format!("{sequence} o 0 ").as_bytes());
        assert!(follower.frames.held().0 <= HELD / HELD_FRAME);
    }
}

#[test]
fn a_follower_that_has_waited_long_enough_goes_on() {
    let mut follower = Follower::new();
    assert_eq!(follower.takes(b"3 o 0 c") + &follower.takes(b"6 o 0 f"), "");
    assert_eq!(follower.gives_up(), format!("{}c\n", missing(1, 2)));
    assert!(follower.frames.waits(), "another gap");
    assert_eq!(follower.takes(b"4 o 0 d"), "d\n");
    assert_eq!(follower.gives_up(), format!("{}f\n", missing(5, 5)));
    assert!(!follower.frames.waits());
    assert_eq!(follower.gives_up(), "");
    // These are known to be written, and never came.
    assert_eq!(follower.takes(&beat(9, 0, &[])), "");
    assert!(follower.frames.waits());
    assert_eq!(follower.gives_up(), missing(7, 9));
}

#[test]
fn an_exit_record_ahead_of_its_turn_is_no_gap() {
    let mut follower = Follower::new();
    follower.takes(b"1 o 0 a");
    assert_eq!(follower.takes(b"4 x+ 9 {\"exi") + &follower.takes(b"5 x 9 t\":{}}"), "");
    assert!(!follower.frames.waits());
    assert_eq!(follower.takes(b"2 o 1 b"), "b\n");
    // A reader who does not follow reads up to here. The rest is still to come.
    let mut now = Follower::new();
    for line in ["1 o 0 a", "4 x 9 {}", "2 o 1 b"] {
        now.takes(line.as_bytes());
    }
    assert_eq!(now.finishes(false), "");
    // If the container has ended, it is not.
    assert_eq!(now.finishes(true), missing(3, 3));
    assert_eq!(follower.takes(b"3 o 2 c"), "c\n");
    assert_eq!(follower.takes(b"4 x+ 9 {\"exi") + &follower.takes(b"5 x 9 t\":{}}"), "");
    let mut end = false;
    follower.frames.take(&Frame::with_lengths(b"6 z 9 {}"), |piece| end = piece == Piece::End);
    assert!(end);
}

#[test]
fn the_end_waits_for_a_gap_before_it() {
    let mut follower = Follower::new();
    let mut ended = Vec::new();
    for line in ["1 o 0 a", "3 z 9 {}"] {
        let line = Frame::with_lengths(line.as_bytes());
        follower.frames.take(&line, |piece| ended.push(piece == Piece::End));
    }
    assert_eq!(ended, [false]);
    follower.frames.take(&Frame::with_lengths(b"2 o 1 b"), |piece| ended.push(piece == Piece::End));
    assert_eq!(ended, [false, false, true]);
}

#[test]
fn a_gap_at_the_end_is_named_once_the_log_has_ended() {
    let mut follower = Follower::new();
    follower.takes(b"1 o 0 a");
    follower.takes(b"4 o 0 d");
    assert_eq!(follower.finishes(true), format!("{}d\n", missing(2, 3)));
    assert_eq!(follower.finishes(true), "");
}

proptest::proptest! {
    #[test]
    fn no_line_panics(lines in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64), 0..8)) {
        let mut follower = Follower::new();
        let mut out = Vec::new();
        for line in &lines {
            follower.frames.take(line, |piece| follower.writer.write(&piece, &mut out));
        }
        follower.finishes(true);
    }

    /// Whatever is lost, comes again, or comes early: each frame is given once and in order, or named.
    #[test]
    fn each_frame_is_given_or_named_once(order in proptest::collection::vec((1u64..40, 0u64..4, 0u64..40), 0..120)) {
        let mut frames = Frames::default();
        let mut next = 1;
        let mut check = |piece: Piece<'_>| match piece {
            Piece::Missing(first, last) => {
                assert!(first == next && last >= first, "{first} to {last} after {next}");
                next = last + 1;
            }
            Piece::Text { frame, .. } => {
                assert_eq!(frame.sequence, next);
                next += 1;
            }
            Piece::End => {}
        };
        for (sequence, what, acked) in order {
            match what {
                0 => frames.take(&beat(sequence, acked.min(sequence), &[]), &mut check),
                1 => frames.give_up(&mut check),
                _ => frames.take(&Frame::with_lengths(format!("{sequence} o 0 x").as_bytes()), &mut check),
            }
        }
        frames.finish(true, &mut check);
        assert_eq!(frames.held(), (0, 0));
        assert_eq!(next, frames.next());
    }
}
