//! The same with an archive that is slow, has little room, and outlives operators.

use super::*;

/// How many frames wait for the store before it has no room.
const ROOM: usize = 12;

/// The frames that are stored, and those that would be gone with this operator.
#[derive(Default)]
struct Archive {
    stored: Vec<u64>,
    waiting: Vec<u64>,
    open: bool,
}

impl Archive {
    fn next(&self) -> u64 {
        self.stored.last().map_or(1, |last| last + 1)
    }

    fn store(&mut self, frames: usize) {
        let frames = frames.min(self.waiting.len());
        for number in self.waiting.drain(..frames) {
            if self.stored.last().is_none_or(|last| *last < number) {
                self.stored.push(number);
            }
        }
    }
}

struct Archived {
    world: World,
    archive: Archive,
}

impl Archived {
    fn new(lines: u64) -> Self {
        let mut world = World::new(lines);
        world.dialogue = Dialogue::new(of()).archived();
        world.dialogue.begins(true, Some(Limits::default()));
        Self { world, archive: Archive { open: true, ..Archive::default() } }
    }

    fn pass_on(&mut self) {
        let Self { world, archive } = self;
        archive.waiting.extend(world.dialogue.for_archive().iter().map(|frame| frame.sequence));
        archive.open = if archive.open { archive.waiting.len() < ROOM } else { archive.waiting.is_empty() };
        world.dialogue.archive_has(archive.next(), archive.open, true);
        if world.dialogue.is_wanted_again() {
            // The runner waits for nothing yet, so its node has not rotated the log.
            world.at = 0;
            world.dialogue.begins(true, Some(Limits::default()));
        }
    }

    fn happens(&mut self, event: &Event, stores: usize) {
        match event {
            Event::Read(lines) => {
                for _ in 0..*lines {
                    self.world.read(1);
                    self.pass_on();
                }
            }
            Event::Restart => {
                self.archive.waiting.clear();
                self.archive.open = true;
                self.world.happens(event);
                let world = &mut self.world;
                let resumed = world.annotations.as_ref();
                if resumed.is_none() {
                    world.at = 0;
                }
                let resumed =
                    resumed.map(|Word { credit, state }| Dialogue::resumed(of(), *credit, Some(state)));
                world.dialogue = resumed.unwrap_or_else(|| Dialogue::new(of())).archived();
                world.dialogue.begins(true, Some(Limits::default()));
            }
            _ => self.world.happens(event),
        }
        self.archive.store(stores);
        self.pass_on();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_archive_has_each_frame_once_whatever_crashes_and_the_log_is_complete(
        lines in 0..300u64,
        events in events(1).prop_filter("many losses", |events| losses(events) <= 3),
        stores in vec(0..30usize, 120),
    ) {
        let mut archived = Archived::new(lines);
        for (event, stores) in events.iter().zip(&stores) {
            archived.happens(event, *stores);
            let said = archived.world.said.as_ref().map_or(0, |word| word.credit.acked);
            prop_assert!(said < archived.archive.next(), "only what is stored may be forgotten");
        }
        for _ in 0..3000 {
            if archived.world.runner.is_done() {
                break;
            }
            for event in [Event::Write(20, false), Event::Read(200), Event::Wait(5), Event::Deliver] {
                archived.happens(&event, 8);
            }
        }
        prop_assert!(archived.world.runner.is_done(), "the runner would wait: {:?}", archived.archive.next());
        let all: Vec<u64> = (1..=archived.world.runner.truth.last()).collect();
        prop_assert_eq!(&archived.archive.stored, &all);
        if !archived.world.dialogue.has_end() {
            archived.world.read_at_last(0);
        }
        prop_assert_eq!(archived.world.dialogue.settled().state, LogState::Complete);
    }
}

#[test]
fn a_store_without_progress_holds_the_runner_no_more() {
    let mut world = World::new(50);
    world.dialogue = Dialogue::new(of()).archived();
    world.dialogue.begins(true, Some(Limits::default()));
    world.dialogue.archive_has(1, true, true);
    world.happens(&Event::Write(30, false));
    world.happens(&Event::Read(40));
    world.happens(&Event::Wait(20));
    assert!(world.said.is_none(), "{:?}", world.said);
    world.dialogue.archive_has(1, true, false);
    world.happens(&Event::Wait(20));
    assert_eq!(world.said.unwrap().credit.acked, 30);
}

#[test]
fn a_spool_that_could_run_over_is_not_filled_for_a_slow_store() {
    let mut world = World::new(50);
    world.dialogue = Dialogue::new(of()).archived();
    world.dialogue.begins(true, Some(Limits { spool_bytes: 100, ..Limits::default() }));
    world.dialogue.archive_has(1, true, true);
    // The beat says that many more frames were made.
    world.happens(&Event::Write(30, false));
    world.happens(&Event::Read(40));
    world.happens(&Event::Wait(20));
    assert_eq!(world.said.unwrap().credit.acked, 30);
}

#[test]
fn a_log_without_an_archive_is_passed_on_to_nobody() {
    let mut world = World::new(5);
    world.happens(&Event::Write(30, false));
    world.happens(&Event::Read(40));
    assert!(world.dialogue.for_archive().is_empty());
    assert!(!world.dialogue.owes_archive() && world.dialogue.has_all());
}

#[test]
fn frames_that_are_lost_while_they_come_again_for_the_archive_are_asked_for_once_more() {
    let mut archived = Archived::new(20);
    let all = archived.world.runner.truth.last();
    archived.world.happens(&Event::Write(40, false));
    archived.world.dialogue.archive_has(1, false, true);
    archived.world.read(usize::MAX);
    assert!(archived.world.dialogue.archive_is_behind());
    // There is room again, and the runner sends all of it again. One frame comes, the others are lost.
    archived.happens(&Event::Wait(20), 0);
    for event in [Event::Write(1, false), Event::Read(100), Event::Wait(20), Event::Deliver] {
        archived.happens(&event, 0);
    }
    archived.happens(&Event::Write(40, false), 0);
    while archived.world.dialogue.archive_is_behind() {
        assert!(archived.world.at < archived.world.runner.file.len(), "it was not asked");
        archived.happens(&Event::Read(1), 0);
    }
    archived.happens(&Event::Reconnect(0), 0);
    assert!(archived.archive.waiting.len() < 5, "{:?}", archived.archive.waiting);
    for _ in 0..20 {
        for event in [Event::Write(20, false), Event::Read(200), Event::Wait(5), Event::Deliver] {
            archived.happens(&event, 8);
        }
    }
    assert_eq!(archived.archive.next(), all + 1);
}

#[test]
fn a_log_that_is_read_again_in_vain_is_asked_for_once_its_runner_waits() {
    let mut archived = Archived::new(20);
    let all = archived.world.runner.truth.last();
    archived.happens(&Event::Write(28, false), 0);
    // The archive has room for one frame less than this, and then for more.
    archived.happens(&Event::Read(13), 12);
    // The node has rotated what was to be read again, with the word of the runner that it waits.
    archived.happens(&Event::Lose(13), 0);
    for _ in 0..20 {
        for event in [Event::Write(20, false), Event::Read(200), Event::Wait(5), Event::Deliver] {
            archived.happens(&event, 8);
        }
    }
    assert_eq!(archived.archive.stored, (1..=all).collect::<Vec<_>>());
}
