//! The steps of one start of the container.

use std::{collections::BTreeMap, env, fs::File, io, os::unix::fs::FileExt, time::Instant};

use nix::sys::{
    prctl,
    stat::{Mode, umask},
};

use crate::record::{
    VERSION,
    bundle::{Bundle, Program},
    exit_code,
    outcome::{
        End, Exit, Identity, MAX_MESSAGE_BYTES, Outcome, Problem, Sealed, Start, Stored, Termination,
        truncate,
    },
    place,
    proof::{NONCE_BYTES, nonce, proof},
};
use crate::seal::{self, PublicKey, SealError};

use super::{
    claim::{self, Claim},
    inputs::{bundle, environment::Environment, folders, working_dir},
    log::{outlet::Outlet, report::Report, streams::Streams, terms::Terms},
    masking::{changing_files::ChangingFiles, patterns::Patterns, written_outputs::WrittenOutputs},
    outputs::{self, Outputs},
    places::Places,
    process::{
        children::Script,
        conclude::{self, Conclusion},
        memory_kills,
        signals::Signals,
        stop_note::Note,
        supervise::Supervisor,
    },
    program::{
        find::Invocation,
        interpreter,
        line_endings::{self, Plain},
        script,
        start::{self, Started},
    },
    reach,
    refusal::Refusal,
    user::nscd,
};

/// Runs the bundle's script, or says why not. Returns the container's exit code.
pub(super) fn run(places: Places) -> u8 {
    // Comes before anything that takes time: a PID 1 would lose an early SIGTERM.
    let signals = Signals::install();
    // Otherwise a script of the same user could write to the runner's standard output through /proc/1/fd/1,
    // unmasked and without numbers. The kernel resets this at each exec, so the script is not affected.
    let hidden = prctl::set_dumpable(false);
    umask(Mode::from_bits_truncate(0o022));

    // Before the claim the bundle is only used to name the run.
    let sha256 = env::var(place::ENV_BUNDLE_SHA256).ok();
    let bundle = bundle::read(&places, sha256.as_deref());
    // Held open from now on: later the script may have taken the runner's right to open files. The file is
    // missing outside Kubernetes, and nobody would read it there.
    let termination = reach::open_to_write(&places.termination_log()).ok();
    let of = identity(bundle.as_ref().ok());
    // Without a descriptor for it, nothing can be started either.
    let Ok(outlet) = Outlet::start(Terms::read(&places)) else { return exit_code::RUNNER_FAILED };
    let mut attempt = Attempt { of, places, report: Report::new(outlet), termination, nonce: None };
    let to_the_end = Conclusion::new(signals.as_ref().ok(), false);
    match claim::take(&attempt.places, &attempt.of) {
        Ok(Claim::First) => {}
        Ok(Claim::Taken) => return attempt.again(to_the_end),
        Err(error) => {
            let refusal = Refusal::internal("claim the run in", &attempt.places.state(), &error);
            return attempt.refuse(refusal, &Patterns::default(), to_the_end);
        }
    }
    let system = |what: &str, errno: nix::Error| {
        Refusal::new(Problem::Internal, format!("the runner cannot {what}: {errno}"))
    };
    let ready = bundle.and_then(|bundle| {
        let signals = signals.as_ref().map_err(|errno| system("wait for signals", *errno))?;
        hidden.map_err(|errno| system("hide itself from the script (PR_SET_DUMPABLE)", errno))?;
        let (mut random, mut another) = ([0; NONCE_BYTES], [0; NONCE_BYTES]);
        getrandom::fill(&mut random).and_then(|()| getrandom::fill(&mut another)).map_err(|error| {
            Refusal::new(Problem::Internal, format!("the runner cannot draw a random number: {error}"))
        })?;
        if !attempt.report.runs() {
            return Err(Refusal::new(Problem::Internal, "the runner cannot start a thread for the log"));
        }
        attempt.nonce = Some(nonce(&random));
        attempt.report.sign(nonce(&another));
        Ok((bundle, signals))
    });
    match ready {
        Ok((bundle, signals)) => attempt.first(&bundle, signals),
        Err(refusal) => attempt.refuse(refusal, &Patterns::default(), to_the_end),
    }
}

/// Returns whose records these are. The run's id comes from the bundle or, if that cannot be read, from the
/// pod's spec.
fn identity(bundle: Option<&Bundle>) -> Identity {
    let of_environment = |name| env::var(name).unwrap_or_default();
    Identity {
        pod_uid: of_environment(place::ENV_POD_UID),
        run_id: bundle.map_or_else(|| of_environment(place::ENV_RUN_ID), |bundle| bundle.run.id.clone()),
    }
}

/// One start of the container.
struct Attempt {
    places: Places,
    of: Identity,
    report: Report,
    /// The file of the termination message.
    termination: Option<File>,
    /// The secret of this run; see [`crate::record::proof`].
    nonce: Option<String>,
}

impl Attempt {
    /// Handles the first start, the only one that runs something.
    fn first(mut self, bundle: &Bundle, signals: &Signals) -> u8 {
        let mut patterns = Patterns::default();
        match self.start(bundle, signals, &mut patterns) {
            Ok(running) => self.supervise(bundle, signals, running),
            Err(refusal) => self.refuse(refusal, &patterns, Conclusion::new(Some(signals), false)),
        }
    }

    /// Prepares and starts the script. Sets `patterns` once they are known.
    fn start(
        &mut self,
        bundle: &Bundle,
        signals: &Signals,
        patterns: &mut Patterns,
    ) -> Result<Running, Refusal> {
        if self.of.pod_uid.is_empty() {
            return Err(Refusal::new(Problem::Internal, format!("{} is not set", place::ENV_POD_UID)));
        }
        folders::prepare(&self.places)?;
        // Before the search for programs, since a relative path starts in the script's working directory.
        let work = working_dir::enter(&self.places, bundle.working_dir.as_ref())?;
        let mut environment = Environment::prepare(&self.places, bundle, &work, env::vars_os())?;
        let sensitive = bundle.sensitive.as_ref().map_or(&[][..], |sensitive| &sensitive.names);
        let secrets = ChangingFiles::new(environment.take_watched(), environment.take_patterns()?)
            .with_additions(self.places.mask())
            .with_outputs(WrittenOutputs::new(self.places.output(), sensitive));
        *patterns = secrets.patterns().clone();
        let invocation = self.invocation(bundle, &mut environment)?;
        if signals.take().stop {
            return Err(Refusal::new(
                Problem::Stopped,
                "the pod was stopped (deleted, evicted, or past its own deadline) before the script started",
            ));
        }
        environment.take_files().keep_up(&self.places);
        nscd::serve(&self.places.names(), &self.places.passwd(), environment.home());
        let note = Note::prepare(self.places.stop_reason()).ok();
        let start = Start {
            version: VERSION,
            of: self.of.clone(),
            unmasked: environment.unmasked().to_vec(),
            adjusted: environment.adjusted().to_vec(),
            suspects: environment.suspects().to_vec(),
            proof: self.nonce.as_deref().map(proof),
            records_proof: self.report.proof(),
        };
        self.report.start(start);
        conclude::write_first(&mut self.report);
        let kills = memory_kills::count(&self.places);
        let started = Instant::now();
        let Started { pid, output } = start::spawn(&invocation, environment.variables(), bundle.streams)?;
        self.report.script_starts(started);
        Ok(Running { script: Script::new(pid), streams: Streams::new(output, secrets), note, started, kills })
    }

    fn invocation(&self, bundle: &Bundle, environment: &mut Environment) -> Result<Invocation, Refusal> {
        let path = self.places.script(bundle.program.file_name());
        let Plain { text, done } = line_endings::plain(script::text(&self.places, &bundle.program)?)?;
        environment.adjust(done);
        let invocation =
            interpreter::resolve(&bundle.program, &text, &bundle.args, &path, environment.path())?;
        if !matches!(bundle.program, Program::Command { .. }) {
            folders::write_script(&self.places, &path, &text)?;
        }
        Ok(invocation)
    }

    fn supervise(mut self, bundle: &Bundle, signals: &Signals, running: Running) -> u8 {
        let Running { script, streams, note, started, kills } = running;
        let mut supervisor = Supervisor {
            places: &self.places,
            limits: &bundle.limits,
            signals,
            report: &mut self.report,
            script,
            streams,
            note,
            unreaped: false,
            asked: false,
        };
        let ended = supervisor.run(started);
        let out_of_memory = memory_kills::since(supervisor.places, kills);
        if ended.cut {
            supervisor.report.cut();
        }
        let declared = outputs::Declared::of(bundle);
        let mut outputs = outputs::read(&self.places.output(), &declared, supervisor.streams.patterns());
        let sealed = sealed(bundle, &self.of, &mut outputs);
        let exit = Exit {
            version: VERSION,
            of: self.of.clone(),
            outcome: ended.outcome,
            stop: ended.stop,
            millis: ended.millis,
            outputs: outputs.values,
            sealed,
            outputs_dropped: outputs.dropped,
            outputs_unread: outputs.unread,
            unmasked: supervisor.streams.unmasked(),
            out_of_memory,
            replayed: false,
        };
        let stored = Stored { exit, nonce: written(self.nonce.take()) };
        store(&self.places, &stored);
        supervisor.report.exit(&stored.exit);
        supervisor.finish();
        let asked = supervisor.asked;
        self.conclude(stored, Conclusion::new(Some(signals), asked))
    }

    /// Reports that nothing was started, and why.
    fn refuse(mut self, mut refusal: Refusal, patterns: &Patterns, to_the_end: Conclusion<'_>) -> u8 {
        refusal.message = patterns.mask_str(&refusal.message);
        let exit = self.exit_without_script(refusal.into_outcome());
        let stored = Stored { exit, nonce: written(self.nonce.take()) };
        store(&self.places, &stored);
        self.report.exit(&stored.exit);
        self.conclude(stored, to_the_end)
    }

    /// Handles a later start: runs nothing, and repeats the record of the first start.
    ///
    /// It writes no end record. The log of the first start is not here, and this log must not count as
    /// complete.
    fn again(mut self, mut to_the_end: Conclusion<'_>) -> u8 {
        let stored = match claim::stored_exit(&self.places, &self.of) {
            Ok(Stored { exit, nonce }) => Stored { exit: Exit { replayed: true, ..exit }, nonce },
            Err(why) => {
                let mut message = format!(
                    "an earlier start of this container claimed the run, and {why}: the script may have run \
                     in part, and is not started again"
                );
                truncate(&mut message, MAX_MESSAGE_BYTES);
                Stored { exit: self.exit_without_script(Outcome::Unknown { message }), nonce: None }
            }
        };
        self.report.exit(&stored.exit);
        to_the_end.finish(&mut self.report);
        self.terminate(stored, None)
    }

    fn exit_without_script(&self, outcome: Outcome) -> Exit {
        Exit {
            version: VERSION,
            of: self.of.clone(),
            outcome,
            stop: None,
            millis: 0,
            outputs: BTreeMap::new(),
            sealed: None,
            outputs_dropped: vec![],
            outputs_unread: None,
            unmasked: vec![],
            out_of_memory: None,
            replayed: false,
        }
    }

    fn conclude(mut self, stored: Stored, mut to_the_end: Conclusion<'_>) -> u8 {
        let dropped = to_the_end.drain(&mut self.report);
        let end = self.report.end(&self.of, dropped);
        let handed_on = to_the_end.finish(&mut self.report);
        self.terminate(stored, handed_on.then_some(end))
    }

    /// Writes the termination message, as the last step.
    fn terminate(self, Stored { exit, nonce }: Stored, end: Option<End>) -> u8 {
        let code = exit_code::of(&exit.outcome);
        let outputs_sha256 = exit.has_outputs().then(|| exit.outputs_sha256());
        if let Ok(text) = (Termination { exit, nonce, outputs_sha256, end }).to_json() {
            let _ = self.termination.map(|file| replace(&file, &text));
        }
        code
    }
}

/// Seals the sensitive outputs, if there are any. Those that cannot be sealed are dropped.
fn sealed(bundle: &Bundle, of: &Identity, outputs: &mut Outputs) -> Option<Sealed> {
    let values = std::mem::take(&mut outputs.sensitive);
    let sensitive = bundle.sensitive.as_ref().filter(|_| !values.is_empty())?;
    let run = &bundle.run;
    let attempt = seal::Attempt { action_uid: &run.action_uid, run_id: &run.id, number: run.attempt };
    let key = PublicKey::parse(&sensitive.public_key).ok_or(SealError::Key);
    match key.and_then(|key| seal::seal(&key, &attempt, &of.pod_uid, &values)) {
        Ok(text) => Some(Sealed {
            names: values.into_keys().collect(),
            unmasked: std::mem::take(&mut outputs.unmasked),
            text,
        }),
        Err(error) => {
            let why = format!("all sensitive outputs: {error}");
            outputs.dropped.push(why.clone());
            outputs.unread.get_or_insert(why);
            None
        }
    }
}

/// A script that was started, with everything that belongs to it.
struct Running {
    script: Script,
    streams: Streams,
    note: Option<Note>,
    started: Instant,
    /// How many processes of the container the kernel had killed for memory before the start.
    kills: u64,
}

/// Replaces what the script has written with `text`. If that fails, leaves nothing rather than a part.
fn replace(file: &File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(text.as_bytes(), 0).or_else(|_| file.set_len(0))
}

/// Keeps the exit record for a second start. If it cannot be stored (the script filled the disk), the frame
/// and the termination message still have it, and only a second start knows less.
fn store(places: &Places, stored: &Stored) {
    let _ = claim::store_exit(places, stored);
}

/// Returns the nonce to write: none if processes of the script may be left to read it.
fn written(nonce: Option<String>) -> Option<String> {
    nonce.filter(|_| Script::owns_all())
}
