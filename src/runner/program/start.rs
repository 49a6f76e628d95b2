//! Starts a program, or says in plain words why it could not be started.

use std::{
    collections::BTreeMap,
    ffi::{CString, NulError, OsString},
    fs::File,
    io::{self, PipeReader, PipeWriter},
    iter,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use nix::{
    errno::Errno,
    spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn},
    sys::signal::SigSet,
    unistd::Pid,
};

use super::{
    elf::{self, Format},
    find::Invocation,
};
use crate::{
    record::{bundle::Streams, frame::Kind, outcome::Problem},
    runner::{reach, refusal::Refusal},
};

/// The script's standard input.
const NOTHING: &str = "/dev/null";

/// A script that has started.
#[derive(Debug)]
pub(in crate::runner) struct Started {
    /// Its main process, which leads a process group of its own.
    pub(in crate::runner) pid: Pid,
    /// The pipes of its standard output and standard error.
    pub(in crate::runner) output: Vec<(Kind, PipeReader)>,
}

/// Starts the script in a process group of its own, with its output in pipes and no standard input. Signals
/// are as every program expects them. Its working directory is the runner's.
pub(in crate::runner) fn spawn(
    invocation: &Invocation,
    variables: &BTreeMap<OsString, OsString>,
    streams: Streams,
) -> Result<Started, Refusal> {
    let Invocation { program, name, args } = invocation;
    let texts = || -> Result<_, NulError> {
        let argv: Vec<CString> =
            iter::once(name).chain(args).map(|arg| CString::new(arg.as_bytes())).collect::<Result<_, _>>()?;
        let envp: Vec<CString> = variables
            .iter()
            .map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?;
        Ok((argv, envp))
    };
    let (argv, envp) = texts().map_err(|_| {
        Refusal::new(Problem::Input, "an argument holds a NUL byte, which a program cannot be given")
    })?;
    let Pipes { output, out, err } =
        pipes(streams).map_err(|error| Refusal::internal("start", program, &error))?;
    let nothing =
        File::open(NOTHING).map_err(|error| Refusal::internal("open", Path::new(NOTHING), &error))?;
    // Not std's Command: its child inherits the signal mask with which the runner waits for SIGTERM. And
    // where it falls back to execvp, a file of an unknown format would go to /bin/sh.
    let spawn = || {
        let mut attributes = PosixSpawnAttr::init()?;
        attributes.set_flags(
            PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
                | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
        )?;
        attributes.set_pgroup(Pid::from_raw(0))?;
        attributes.set_sigmask(&SigSet::empty())?;
        attributes.set_sigdefault(&SigSet::all())?;
        let mut actions = PosixSpawnFileActions::init()?;
        actions.add_dup2(nothing.as_raw_fd(), 0)?;
        actions.add_dup2(out.as_raw_fd(), 1)?;
        actions.add_dup2(err.as_raw_fd(), 2)?;
        posix_spawn(program.as_path(), &actions, &attributes, &argv, &envp)
    };
    let pid = spawn().map_err(|error| explain(error, program, variables))?;
    Ok(Started { pid, output })
}

/// Both ends of the script's pipes.
struct Pipes {
    output: Vec<(Kind, PipeReader)>,
    /// Its standard output.
    out: OwnedFd,
    /// Its standard error.
    err: OwnedFd,
}

fn pipes(streams: Streams) -> io::Result<Pipes> {
    let (reader, out) = io::pipe()?;
    Ok(match streams {
        Streams::Merged => {
            let err = opened_again(&out)?;
            Pipes { output: vec![(Kind::Both, reader)], out: out.into(), err }
        }
        Streams::Separate => {
            let (errors, err) = io::pipe()?;
            let output = vec![(Kind::Stdout, reader), (Kind::Stderr, errors)];
            Pipes { output, out: out.into(), err: err.into() }
        }
    })
}

/// Opens the same pipe as an open file of its own. Programs that make their standard error nonblocking (ssh,
/// node) would otherwise do so to standard output as well, and others lose lines there.
fn opened_again(pipe: &PipeWriter) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let opened = File::options().write(true).open(path).map(OwnedFd::from);
    // If that fails, both share one open file.
    opened.or_else(|_| pipe.try_clone().map(OwnedFd::from))
}

fn explain(error: Errno, program: &Path, variables: &BTreeMap<OsString, OsString>) -> Refusal {
    let file = program.display();
    let not_executable = |why: &str| Refusal::new(Problem::NotExecutable, format!("{file} {why}"));
    match error {
        Errno::E2BIG => Refusal::new(Problem::TooLong, too_long(variables)),
        Errno::ENOENT | Errno::ENOTDIR => not_executable(&missing_loader(&format(program))),
        Errno::ENOEXEC => not_executable(&wrong_format(&format(program))),
        Errno::EACCES | Errno::EPERM => {
            not_executable("cannot be executed: permission denied (is its file system mounted noexec?)")
        }
        Errno::ENOMEM | Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE => {
            Refusal::internal("start", program, &error)
        }
        other => not_executable(&format!("cannot be executed: {other}")),
    }
}

fn format(program: &Path) -> Format {
    reach::read_mounted(program, 4096).map_or(Format::Other, |head| elf::format(&head))
}

fn missing_loader(format: &Format) -> String {
    match format {
        Format::Script(line) if line.ends_with('\r') => {
            format!(
                "has a first line that ends in a carriage return (`{}`): save it with LF line endings",
                line.trim_end()
            )
        }
        Format::Script(line) => {
            format!("is there, and the interpreter that its first line names is not (`{line}`)")
        }
        Format::Elf { loader: Some(loader), .. } => format!(
            "is there, and its loader {loader} is not: the program was built for another C library than \
             the image's (glibc, musl); use a static build, or another image (spec.image)"
        ),
        Format::Elf { loader: None, .. } | Format::Other => {
            "is there, and something that the kernel needs to start it is not".to_owned()
        }
    }
}

fn wrong_format(format: &Format) -> String {
    let ours = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    match format {
        Format::Elf { machine, .. } if machine != ours => {
            format!("is a program for {machine}, and this node is {ours}: use an image for {ours}")
        }
        Format::Elf { .. } => "is a program that this kernel cannot execute (damaged?)".to_owned(),
        Format::Script(_) => "is a script whose first line the kernel cannot use".to_owned(),
        Format::Other => {
            "is neither a program nor a script with a `#!` line: the kernel cannot execute it".to_owned()
        }
    }
}

fn too_long(variables: &BTreeMap<OsString, OsString>) -> String {
    let longest = variables.iter().max_by_key(|(_, value)| value.len());
    let longest = longest.map_or_else(String::new, |(name, value)| {
        format!("; the longest variable is {} with {} bytes", name.display(), value.len())
    });
    format!(
        "arguments and environment are too long for the kernel, which takes 131,071 bytes for each and \
         about 2 MiB in all{longest}: pass long values with `as: File`"
    )
}
