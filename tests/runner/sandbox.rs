//! A container's folders in a temporary folder, the real runner in it, and what it reported, read
//! as the operator reads it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use longshore::{
    record::{
        VERSION,
        bundle::{
            Bundle, Folder, Limits, Output, Program, RunIdentity, Sensitive, Source, Streams, Variable,
        },
        frame::{Ending, Frame, Kind, MAX_LINE_BYTES},
        outcome::{End, Exit, Outcome, Problem, Record, Signed, Start, Termination},
        place,
        proof::proof,
        sha256_hex,
        transcript::Transcript,
    },
    seal::{self, MASTER_BYTES, Master},
};

pub(crate) const POD_UID: &str = "11111111-2222-3333-4444-555555555555";
pub(crate) const RUN_ID: &str = "5f3c9a1b-3";
/// Neither root nor anybody.
const STRANGER: u32 = 65532;

/// How the runner is started.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// As a process among others.
    Process,
    /// As PID 1 of a PID namespace.
    Pid1,
    /// The same, without root's rights.
    UnprivilegedPid1,
    /// As a process among others, with 4 MiB of disk for its own files.
    OnSmallDisk,
    /// As a process that can start no thread and no process. Root always can.
    Alone,
    /// As a process that was asked to end before its first instruction.
    Asked,
}

pub(crate) struct Sandbox {
    pub(crate) root: PathBuf,
    pub(crate) bundle: Bundle,
    /// The image's environment.
    pub(crate) image: Vec<(String, String)>,
    /// The folder in which the container starts.
    pub(crate) workdir: PathBuf,
    /// What is in the pod's spec, where it is not the bundle's real hash.
    pub(crate) sha256: Option<String>,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Sandbox {
    pub(crate) fn new(program: Program) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "runner-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        let _ = fs::remove_dir_all(&root);
        let sandbox = Self {
            root,
            bundle: Bundle {
                version: VERSION,
                run: RunIdentity {
                    namespace: "shop".into(),
                    action: "deploy".into(),
                    action_uid: "5f3c9a1b-0000".into(),
                    id: RUN_ID.into(),
                    number: 3,
                    attempt: 2,
                },
                image: "example.com/tools@sha256:00".into(),
                packages: vec![],
                program,
                args: vec![],
                variables_from: vec![],
                variables: vec![],
                outputs: vec![],
                sensitive: None,
                limits: Limits { run_deadline_seconds: 60, grace_seconds: 20 },
                working_dir: None,
                image_user: None,
                streams: Streams::Merged,
            },
            image: vec![("PATH".into(), "/usr/bin:/bin".into())],
            workdir: "/".into(),
            sha256: None,
        };
        for folder in
            [place::STATE_DIR, place::BUNDLE_DIR, place::INPUTS_DIR, place::SCRIPT_SOURCE_DIR, "/dev"]
        {
            fs::create_dir_all(sandbox.at(folder)).unwrap();
        }
        fs::write(sandbox.at(place::TERMINATION_LOG), "").unwrap();
        sandbox
    }

    /// Another script, where the first one could not know the folder.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.bundle.program = Program::Script { text: text.into(), interpreter: vec![], file_name: None };
        self
    }

    pub(crate) fn script(text: &str) -> Self {
        Self::new(Program::Script { text: text.into(), interpreter: vec![], file_name: None })
    }

    /// A script that the kubelet mounts; `frozen` is what it was when the run was frozen.
    pub(crate) fn script_file(frozen: &[u8], mounted: Option<&[u8]>) -> Self {
        let sandbox = Self::new(Program::ScriptFile {
            sha256: sha256_hex(frozen),
            origin: "key \"run.sh\" of ConfigMap \"deploy\"".into(),
            interpreter: vec![],
            file_name: None,
        });
        if let Some(mounted) = mounted {
            mount(&sandbox.at(place::SCRIPT_SOURCE_DIR), &[(place::SCRIPT_FILE, mounted)]);
        }
        sandbox
    }

    pub(crate) fn command(argv: &[&str]) -> Self {
        Self::new(Program::Command { argv: argv.iter().map(|&word| word.into()).collect() })
    }

    pub(crate) fn interpreter(mut self, words: &[&str]) -> Self {
        if let Program::Script { interpreter, .. } | Program::ScriptFile { interpreter, .. } =
            &mut self.bundle.program
        {
            *interpreter = words.iter().map(|&word| word.into()).collect();
        }
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.bundle.args = args.iter().map(|&arg| arg.into()).collect();
        self
    }

    pub(crate) fn limits(mut self, run_deadline_seconds: u64, grace_seconds: u64) -> Self {
        self.bundle.limits = Limits { run_deadline_seconds, grace_seconds };
        self
    }

    pub(crate) fn separate(mut self) -> Self {
        self.bundle.streams = Streams::Separate;
        self
    }

    pub(crate) fn outputs(mut self, names: &[&str]) -> Self {
        self.bundle.outputs = names.iter().map(|&name| Output { name: name.into() }).collect();
        self
    }

    /// Sensitive outputs, sealed to [`master`]'s key.
    pub(crate) fn sensitive(mut self, names: &[&str]) -> Self {
        let run = &self.bundle.run;
        let public_key = master().public_key(&attempt(run)).to_string();
        self.bundle.sensitive =
            Some(Sensitive { names: names.iter().map(|&name| name.into()).collect(), public_key });
        self
    }

    pub(crate) fn value(mut self, name: &str, value: &str, as_file: bool) -> Self {
        let source = Source::Value { value: value.into() };
        self.bundle.variables.push(Variable { name: name.into(), source, as_file, mode: None, path: None });
        self
    }

    /// The latest variable's file is to have this mode, and a link there.
    pub(crate) fn file(mut self, mode: Option<u32>, path: Option<&str>) -> Self {
        let variable = self.bundle.variables.last_mut().unwrap();
        (variable.mode, variable.path) = (mode, path.map(Into::into));
        self
    }

    /// A value from a Secret; `None` for one that is not there.
    pub(crate) fn secret(self, name: &str, value: Option<&[u8]>) -> Self {
        self.input(name, value, false, false)
    }

    pub(crate) fn input(mut self, name: &str, value: Option<&[u8]>, optional: bool, as_file: bool) -> Self {
        if let Some(value) = value {
            fs::write(self.at(place::INPUTS_DIR).join(name), value).unwrap();
        }
        let source = Source::File {
            path: name.into(),
            secret: true,
            optional,
            origin: format!("key \"{name}\" of Secret \"s\""),
        };
        self.bundle.variables.push(Variable { name: name.into(), source, as_file, mode: None, path: None });
        self
    }

    /// A whole Secret or `ConfigMap` as variables.
    pub(crate) fn source(mut self, name: &str, prefix: &str, secret: bool, keys: &[(&str, &[u8])]) -> Self {
        mount(&self.at(place::SOURCES_DIR).join(name), keys);
        let kind = if secret { "Secret" } else { "ConfigMap" };
        self.bundle.variables_from.push(Folder {
            path: name.into(),
            prefix: prefix.into(),
            secret,
            origin: format!("{kind} \"{name}\""),
        });
        self
    }

    /// A path in the container, here.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(crate) fn state(&self, file: &str) -> PathBuf {
        self.at(place::STATE_DIR).join(file)
    }

    pub(crate) fn start(&self, how: As) -> Running {
        let text = self.bundle.to_json().unwrap();
        fs::write(self.at(place::BUNDLE_DIR).join(place::BUNDLE_FILE), &text).unwrap();
        let runner = env!("CARGO_BIN_EXE_longshore-runner");
        let disk = self.at(place::STATE_DIR).display().to_string();
        let words: Vec<&str> = match how {
            As::Process => vec![runner],
            As::Asked => {
                vec!["env", "--block-signal=TERM", "sh", "-c", "kill -TERM $$; exec \"$0\" \"$@\"", runner]
            }
            As::Alone => {
                let words = ["prlimit", "--nproc=0:0", runner];
                let user = ["setpriv", "--reuid=65532", "--regid=0", "--clear-groups"];
                let root = nix::unistd::geteuid().is_root();
                if root {
                    give(&self.root);
                }
                user.into_iter().filter(|_| root).chain(words).collect()
            }
            As::OnSmallDisk => {
                let mount = "mount -t tmpfs -o size=4m none \"$0\" && exec \"$@\"";
                vec!["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, &disk, runner]
            }
            As::Pid1 if nix::unistd::geteuid().is_root() => {
                vec!["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", runner]
            }
            As::UnprivilegedPid1 if nix::unistd::geteuid().is_root() => {
                give(&self.root);
                let user: &[&str] = &["setpriv", "--reuid=65532", "--regid=0", "--clear-groups", runner];
                [&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"][..], user].concat()
            }
            As::Pid1 | As::UnprivilegedPid1 => {
                vec![
                    "unshare",
                    "--user",
                    "--map-current-user",
                    "--pid",
                    "--fork",
                    "--mount-proc",
                    "--kill-child",
                    runner,
                ]
            }
        };
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg("--root")
            .arg(&self.root)
            .current_dir(&self.workdir)
            .env_clear()
            .envs(self.image.iter().cloned())
            .env(place::ENV_BUNDLE_SHA256, self.sha256.clone().unwrap_or_else(|| sha256_hex(text.as_bytes())))
            .env(place::ENV_POD_UID, POD_UID)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        Running { child: command.spawn().unwrap(), termination: self.at(place::TERMINATION_LOG), how }
    }

    pub(crate) fn run(&self) -> Told {
        self.run_as(As::Process)
    }

    pub(crate) fn run_as(&self, how: As) -> Told {
        self.start(how).wait()
    }
}

/// The operator's key.
pub(crate) fn master() -> Master {
    Master::from_bytes(&[7; MASTER_BYTES]).unwrap()
}

fn attempt(run: &RunIdentity) -> seal::Attempt<'_> {
    seal::Attempt { action_uid: &run.action_uid, run_id: &run.id, number: run.attempt }
}

/// As the kubelet does: every file a link into the folder of its version, that folder behind a link.
fn mount(folder: &Path, files: &[(&str, &[u8])]) {
    const VERSION: &str = "..2026_01_01";
    fs::create_dir_all(folder.join(VERSION)).unwrap();
    symlink(VERSION, folder.join("..data")).unwrap();
    for (name, content) in files {
        fs::write(folder.join(VERSION).join(name), content).unwrap();
        symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
    }
}

fn give(path: &Path) {
    chown(path, Some(STRANGER), Some(0)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    } else {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    }
}

pub(crate) struct Running {
    pub(crate) child: Child,
    termination: PathBuf,
    how: As,
}

/// A test that fails leaves no runner and no script behind.
impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let _ = self.child.kill();
        let _ = self.child.wait();
        for script in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // A script leads a process group.
            let _ = nix::sys::signal::killpg(
                nix::unistd::Pid::from_raw(script),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let mut pid = self.child.id();
        if self.how != As::Process {
            // The child is unshare, and its only child the runner.
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            pid = children.trim().parse().unwrap();
        }
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> Told {
        let mut report = vec![];
        self.child.stdout.take().unwrap().read_to_end(&mut report).unwrap();
        let code = self.child.wait().unwrap().code();
        let termination = fs::read(&self.termination).unwrap();
        assert!(termination.len() <= 4096);
        Told::read(&report, code, serde_json::from_slice(&termination).ok())
    }
}

/// Waits until `path` is there.
pub(crate) fn wait_for(path: &Path) {
    let end = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(Instant::now() < end, "{} did not come", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The runner's report.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    /// Both streams, if they are one pipe.
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// Kind and ending of every frame.
    pub(crate) kinds: Vec<(Kind, Ending)>,
    pub(crate) foreign: Vec<Vec<u8>>,
    pub(crate) start: Option<Start>,
    pub(crate) exit: Option<Exit>,
    pub(crate) end: Option<End>,
    pub(crate) termination: Option<Termination>,
}

impl Told {
    fn read(report: &[u8], code: Option<i32>, termination: Option<Termination>) -> Self {
        let mut told = Self { code, termination, ..Self::default() };
        let mut transcript = Transcript::default();
        let mut record = vec![];
        assert!(report.is_empty() || report.ends_with(b"\n"));
        for line in report.split_inclusive(|&byte| byte == b'\n') {
            assert!(line.len() <= MAX_LINE_BYTES && !line.ends_with(b"\r\n"));
            let Some(frame) = Frame::decode(&line[..line.len() - 1]) else {
                told.foreign.push(line.to_vec());
                continue;
            };
            told.kinds.push((frame.kind, frame.ending));
            assert_eq!(frame.sequence, told.kinds.len() as u64, "gapless");
            if frame.kind.is_log() {
                transcript.push(&frame.text, frame.ending);
                let stream = if frame.kind == Kind::Stderr { &mut told.stderr } else { &mut told.stdout };
                stream.extend_from_slice(&frame.text);
                if frame.ending == Ending::Line {
                    stream.push(b'\n');
                }
                continue;
            }
            record.extend_from_slice(&frame.text);
            if frame.ending == Ending::Line {
                let Signed { record: read, nonce } = serde_json::from_slice(&record).unwrap();
                let announced = told.start.as_ref().and_then(|start| start.records_proof.clone());
                let is_start = matches!(read, Record::Start(_));
                assert!(is_start || announced.is_none() || nonce.as_deref().map(proof) == announced);
                match read {
                    Record::Start(start) => told.start = Some(start),
                    Record::Exit(exit) => told.exit = Some(exit),
                    Record::End(end) => told.end = Some(end),
                }
                record.clear();
            }
        }
        if let Some(end) = &told.end {
            assert_eq!(
                (end.lines, end.bytes, &end.sha256),
                (transcript.lines(), transcript.bytes(), &transcript.sha256())
            );
        }
        told
    }

    pub(crate) fn exit(&self) -> &Exit {
        self.exit.as_ref().expect("an exit record")
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The sensitive outputs of the bundle's run, opened as the operator opens them.
    pub(crate) fn opened(&self, sandbox: &Sandbox) -> BTreeMap<String, String> {
        let sealed = self.exit().sealed.as_ref().expect("a box");
        let values = seal::open(&master(), &attempt(&sandbox.bundle.run), POD_UID, &sealed.text).unwrap();
        assert_eq!(values.keys().collect::<Vec<_>>(), sealed.names.iter().collect::<Vec<_>>());
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        values.into_iter().map(|(name, value)| (name, text(&value))).collect()
    }

    pub(crate) fn outputs(&self) -> BTreeMap<&str, &str> {
        self.exit().outputs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The whole of a run that ended with `code`: every record, everywhere the same.
    pub(crate) fn assert_exited(&self, code: u8) {
        assert_eq!(self.exit().outcome, Outcome::Exited { code }, "{self:?}");
        self.assert_whole(i32::from(code));
    }

    pub(crate) fn assert_signaled(&self, signal: i32) {
        assert_eq!(self.exit().outcome, Outcome::Signaled { signal }, "{self:?}");
        self.assert_whole(128 + signal);
    }

    /// Nothing was started, for this reason; gives the message.
    pub(crate) fn assert_refused(&self, wanted: Problem, code: u8) -> &str {
        let Outcome::NotStarted { problem, message } = &self.exit().outcome else { panic!("{self:?}") };
        assert_eq!(*problem, wanted, "{message}");
        assert_eq!((self.code, self.stdout.len()), (Some(i32::from(code)), 0));
        assert!(self.end.is_some() && self.termination.is_some());
        message
    }

    fn assert_whole(&self, code: i32) {
        assert_eq!(self.code, Some(code));
        let of = &self.exit().of;
        assert_eq!((of.pod_uid.as_str(), of.run_id.as_str()), (POD_UID, RUN_ID));
        assert_eq!(self.kinds.first().map(|frame| frame.0), Some(Kind::Start));
        assert_eq!(self.kinds.last().map(|frame| frame.0), Some(Kind::End));
        let termination = self.termination.as_ref().expect("a termination message");
        assert_eq!(termination.exit.outcome, self.exit().outcome);
        assert_eq!(termination.end, self.end);
    }
}
