//! The runner alone, without a cluster: its speed with nothing, little and much to mask, its memory, and the
//! time of an echo.
//!
//! The binary is the one that is installed, not a test's.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use longshore::record::{
    VERSION,
    bundle::{Bundle, Limits, Program, RunIdentity, Source, Streams, Variable},
    place, sha256_hex,
};

use crate::{Result, samples::Values};

/// Of the script's output, in bytes.
pub(crate) const OUTPUT: u64 = 1_000_000_000;
pub(crate) const LINE: &str =
    "2026-11-23T12:00:00Z INFO orders: applied migration of a table, took 13 ms, rows 4711, lock none";
pub(crate) const ECHOES: usize = 20;

/// Memory is the peak of what is resident, in KiB.
pub(crate) struct Measured {
    pub(crate) disk_bytes: u64,
    /// What is masked, megabytes a second, memory.
    pub(crate) output: Vec<(&'static str, f64, u64)>,
    /// The median in milliseconds, and the largest memory.
    pub(crate) echo: (f64, u64),
}

pub(crate) fn measure(runner: &Path) -> Result<Measured> {
    let mut output = vec![];
    for (what, count, bytes) in [
        ("nothing", 0, 0),
        ("a token of 40 bytes", 1, 40),
        ("50 tokens of 40 bytes", 50, 40),
        ("a kubeconfig of 6 KiB", 1, 6 * 1024),
        ("a PEM file of 1 MiB", 1, 1024 * 1024),
    ] {
        eprintln!("the runner alone: {OUTPUT} bytes of output, to be masked: {what}");
        let script = format!("yes '{LINE}' | head -c {OUTPUT}");
        let secrets: Vec<String> = (0..count).map(|number| secret(number, bytes)).collect();
        let (took, peak) = run(runner, &script, &secrets)?;
        #[expect(clippy::cast_precision_loss, reason = "a gigabyte fits")]
        output.push((what, OUTPUT as f64 / took.as_secs_f64() / 1e6, peak));
    }
    let echoes = (0..ECHOES).map(|_| run(runner, "echo hello", &[])).collect::<Result<Vec<_>>>()?;
    let took = Values::new(echoes.iter().map(|(took, _)| took.as_secs_f64() * 1e3)).median();
    let peak = echoes.iter().map(|(_, peak)| *peak).max().unwrap_or_default();
    Ok(Measured { disk_bytes: fs::metadata(runner)?.len(), output, echo: (took, peak) })
}

/// Lines of 64 letters that look random, as keys do; nothing of it is in the output.
fn secret(of: usize, bytes: usize) -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= bytes {
            break;
        }
        text.push_str(&sha256_hex(format!("{of} {number}").as_bytes()));
        text.push('\n');
    }
    text.truncate(bytes);
    text
}

/// The time that it took, and the largest resident memory in KiB.
fn run(runner: &Path, script: &str, secrets: &[String]) -> Result<(Duration, u64)> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-runner-{}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    let measured = run_in(&root, runner, script, secrets);
    let _ = fs::remove_dir_all(&root);
    measured
}

fn run_in(root: &Path, runner: &Path, script: &str, secrets: &[String]) -> Result<(Duration, u64)> {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    for folder in [place::STATE_DIR, place::BUNDLE_DIR, place::INPUTS_DIR, "/dev"] {
        fs::create_dir_all(at(folder))?;
    }
    fs::write(at(place::TERMINATION_LOG), "")?;
    for (number, secret) in secrets.iter().enumerate() {
        fs::write(at(place::INPUTS_DIR).join(format!("secret-{number}")), secret)?;
    }
    let bundle = bundle(script, secrets.len()).to_json()?;
    fs::write(at(place::BUNDLE_DIR).join(place::BUNDLE_FILE), &bundle)?;
    let begin = Instant::now();
    let mut child = Command::new(runner)
        .arg("--root")
        .arg(root)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env(place::ENV_BUNDLE_SHA256, sha256_hex(bundle.as_bytes()))
        .env(place::ENV_POD_UID, "11111111-2222-3333-4444-555555555555")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut report = child.stdout.take().ok_or("the runner has no standard output")?;
    let reader = thread::spawn(move || std::io::copy(&mut report, &mut std::io::sink()));
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = resident(&child).unwrap_or(peak);
        thread::sleep(Duration::from_millis(1));
    }
    let took = begin.elapsed();
    let reported = reader.join().map_err(|_| "the reader failed")??;
    let status = child.wait()?;
    if !status.success() || reported == 0 {
        return Err(format!("the runner ended with {status} after {reported} bytes").into());
    }
    Ok((took, peak))
}

/// The largest resident memory up to now, in KiB; none once the process has ended.
fn resident(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn bundle(script: &str, secrets: usize) -> Bundle {
    let variable = |number: usize| Variable {
        name: format!("SECRET_{number}"),
        source: Source::File {
            path: format!("secret-{number}"),
            secret: true,
            optional: false,
            origin: "the benchmark's secret".into(),
        },
        as_file: true,
        mode: None,
        path: None,
    };
    Bundle {
        version: VERSION,
        run: RunIdentity {
            namespace: "bench".into(),
            action: "bench".into(),
            action_uid: "5f3c9a1b-0000".into(),
            id: "5f3c9a1b-1".into(),
            number: 1,
            attempt: 1,
        },
        image: "example.com/tools@sha256:00".into(),
        packages: vec![],
        program: Program::Script { text: script.into(), interpreter: vec![], file_name: None },
        args: vec![],
        variables_from: vec![],
        variables: (0..secrets).map(variable).collect(),
        outputs: vec![],
        sensitive: None,
        limits: Limits { run_deadline_seconds: 600, grace_seconds: 1 },
        working_dir: None,
        image_user: None,
        streams: Streams::default(),
    }
}
