//! Reads the script's standard output and standard error, from one pipe or two, for the report.

use std::{
    io::{self, PipeReader, Read},
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};

use super::{lines::Lines, report::Report};
use crate::{
    record::frame::Kind,
    runner::masking::{changing_files::ChangingFiles, mask::Masker, patterns::Patterns},
};

/// A larger pipe lets the script continue while the runner writes. If the kernel refuses, the pipe stays
/// small.
const PIPE_BYTES: i32 = 1024 * 1024;
/// How much is read at once. It bounds how much one turn adds to the sink.
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct Stream {
    kind: Kind,
    pipe: Option<PipeReader>,
    bytes: u64,
    masker: Masker,
    lines: Lines,
}

impl Stream {
    fn new(kind: Kind, pipe: PipeReader, patterns: &Patterns) -> Self {
        let _ = fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        // The script may open its end for reading too, and take bytes that the runner was about to read. It
        // does not see the flag, since each end is an open file of its own.
        let _ = fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        Self {
            kind,
            pipe: Some(pipe),
            bytes: 0,
            masker: Masker::new(patterns.clone()),
            lines: Lines::default(),
        }
    }

    /// Reads once and never blocks. Returns how many bytes it read.
    fn read(&mut self, buffer: &mut [u8], report: &mut Report) -> usize {
        let Some(pipe) = &mut self.pipe else { return 0 };
        match pipe.read(buffer) {
            Ok(len) if len > 0 => {
                self.bytes += len as u64;
                return len;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Ok(_) | Err(_) => self.close(report),
        }
        0
    }

    fn take(&mut self, text: &[u8], report: &mut Report) {
        let masked = self.masker.push(text);
        self.lines.push(masked, |ending, text| report.log(self.kind, ending, text));
    }

    fn close(&mut self, report: &mut Report) {
        if self.pipe.take().is_some() {
            self.lines.push(self.masker.finish(), |ending, text| report.log(self.kind, ending, text));
            self.lines.finish(|ending, text| report.log(self.kind, ending, text));
        }
    }
}

/// Says which of two pipes had something to read first.
///
/// The kernel lists pipes in an `epoll(7)` in the order in which they become readable. It lists each once, so
/// bytes that both got since the last check have no order.
#[derive(Debug)]
struct Arrivals(Option<Epoll>);

impl Arrivals {
    fn of(streams: &[Stream]) -> Self {
        let watch = || {
            let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
            for (number, stream) in (0..).zip(streams) {
                if let Some(pipe) = &stream.pipe {
                    epoll.add(pipe, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, number))?;
                }
            }
            nix::Result::Ok(epoll)
        };
        // One pipe needs no order. Without an epoll the order of two is a guess, but the log is complete.
        Self((streams.len() > 1).then(watch).and_then(Result::ok))
    }

    /// Puts the one of `ready` that came first in front.
    fn order(&self, ready: &mut [usize]) {
        let mut events = [EpollEvent::empty(); 2];
        let Some(epoll) = &self.0 else { return };
        if epoll.wait(&mut events, EpollTimeout::ZERO).is_ok_and(|count| count > 0) {
            ready.sort_by_key(|number| u64::try_from(*number) != Ok(events[0].data()));
        }
    }
}

/// The streams, each with its own masker and its own unfinished line.
#[derive(Debug)]
pub(in crate::runner) struct Streams {
    all: Vec<Stream>,
    arrivals: Arrivals,
    buffer: Vec<u8>,
    secrets: ChangingFiles,
}

impl Streams {
    pub(in crate::runner) fn new(pipes: Vec<(Kind, PipeReader)>, secrets: ChangingFiles) -> Self {
        let patterns = secrets.patterns();
        let all: Vec<_> = pipes.into_iter().map(|(kind, pipe)| Stream::new(kind, pipe, patterns)).collect();
        Self { arrivals: Arrivals::of(&all), all, buffer: vec![0; READ_BYTES], secrets }
    }

    /// The pipes that are still open, with their numbers.
    pub(in crate::runner) fn open(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.all
            .iter()
            .enumerate()
            .filter_map(|(number, stream)| Some((number, stream.pipe.as_ref()?.as_fd())))
    }

    /// Reads once from each of these pipes, in the order in which they became readable.
    pub(in crate::runner) fn read_all(&mut self, mut ready: Vec<usize>, report: &mut Report) {
        self.arrivals.order(&mut ready);
        for number in ready {
            self.read(number, report);
        }
    }

    /// Reads once from the pipe with this number, if it has something.
    fn read(&mut self, number: usize, report: &mut Report) {
        let Some(stream) = self.all.get_mut(number) else { return };
        let len = stream.read(&mut self.buffer, report);
        if len == 0 {
            return;
        }
        if self.secrets.look() {
            self.learn();
        }
        self.all[number].take(&self.buffer[..len], report);
    }

    /// When to call [`Self::look`].
    pub(in crate::runner) fn next_look(&self) -> Option<Instant> {
        self.secrets.next()
    }

    /// Checks for new secret values, if the last check is some time ago.
    pub(in crate::runner) fn look(&mut self, now: Instant) {
        if self.secrets.look_if_due(now) {
            self.learn();
        }
    }

    /// The texts to mask, including the newest.
    pub(in crate::runner) fn patterns(&mut self) -> &Patterns {
        if self.secrets.look() {
            self.learn();
        }
        self.secrets.patterns()
    }

    /// Sentences about values that the script wanted to be masked and that are not.
    pub(in crate::runner) fn unmasked(&self) -> Vec<String> {
        self.secrets.unmasked()
    }

    fn learn(&mut self) {
        for stream in &mut self.all {
            stream.masker.learn(self.secrets.patterns());
        }
    }

    /// How many bytes were read so far.
    pub(in crate::runner) fn bytes(&self) -> u64 {
        self.all.iter().map(|stream| stream.bytes).sum()
    }

    pub(in crate::runner) fn all_closed(&self) -> bool {
        self.all.iter().all(|stream| stream.pipe.is_none())
    }

    /// Ends the streams, even if a process still holds the pipes.
    pub(in crate::runner) fn close(&mut self, report: &mut Report) {
        for stream in &mut self.all {
            stream.close(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{
        super::{outlet::Outlet, sink::Sink, terms::Terms},
        *,
    };
    use crate::runner::masking::changing_files::{ChangingFiles, Watched};

    fn separate() -> (Streams, [io::PipeWriter; 2], Report) {
        let ((out, to_out), (err, to_err)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let secrets = ChangingFiles::new(Watched::default(), Patterns::default());
        let pipes = vec![(Kind::Stdout, out), (Kind::Stderr, err)];
        let terms = Terms { limits: None, credit: "".into(), folder: "".into() };
        let outlet = Outlet::into(|| Sink::new(None), terms).unwrap();
        (Streams::new(pipes, secrets), [to_out, to_err], Report::new(outlet))
    }

    #[test]
    fn the_pipe_that_was_written_to_first_is_read_first() {
        let (streams, mut script, _report) = separate();
        for first in [1, 0, 1, 1, 0] {
            script[first].write_all(b"x").unwrap();
            script[1 - first].write_all(b"x").unwrap();
            script[first].write_all(b"x").unwrap();
            let mut ready = [0, 1];
            streams.arrivals.order(&mut ready);
            assert_eq!(ready, [first, 1 - first]);
        }
    }

    #[test]
    fn a_pipe_that_somebody_emptied_meanwhile_is_not_waited_for() {
        let (mut streams, [mut script, _other], mut report) = separate();
        streams.read(0, &mut report);
        assert_eq!((streams.bytes(), streams.open().count()), (0, 2));
        script.write_all(b"x").unwrap();
        streams.read(0, &mut report);
        drop(script);
        streams.read(0, &mut report);
        assert_eq!((streams.bytes(), streams.open().count()), (1, 1));
    }
}
