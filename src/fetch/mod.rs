//! `longshore-fetch`: fetches packages that nodes do not mount, in a container that runs before the script's.
//! It writes each package into a folder of its own, and nothing outside of it.
//!
//! It knows registries, archives and folders, but nothing of Kubernetes.

mod archive;
mod fault;
mod folder;
mod links;
mod package;
mod path;
mod stream;
#[cfg(test)]
mod tests;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use crate::{
    record::{
        fetch::{Failure, Problem},
        place, quoted,
    },
    registry::{ImageReference, Keyring, Origin, Platform, PullSecretForm, Registry, RegistryConfig},
};
use fault::Fault;
use folder::Limits;
use package::Fetcher;

/// The time limit for one manifest, or for the beginning of a blob.
const REGISTRY_LIMIT: Duration = Duration::from_secs(20);
/// The exit code by which shells report SIGTERM.
const TERMINATED: u8 = 143;

/// Fetches packages from registries into folders.
#[derive(Debug, Parser)]
#[command(name = place::FETCH_FILE, version)]
struct Options {
    /// A package, and the name of its folder: NAME=REPOSITORY@DIGEST. May be given several times.
    #[arg(long = "package", required = true, value_parser = wanted)]
    packages: Vec<Wanted>,

    /// How much a package may take, packed and unpacked, in bytes.
    #[arg(long, default_value_t = 512 << 20)]
    limit_bytes: u64,

    /// How many files, folders and links a package may have.
    #[arg(long, default_value_t = 65_536)]
    max_entries: u32,

    /// How long a failing registry is asked again, in seconds from the start.
    #[arg(long, default_value_t = 300)]
    give_up_after_seconds: u64,

    /// The architecture, if a package is for several platforms. The system is always Linux.
    #[arg(long, default_value = "amd64")]
    architecture: String,

    /// Registry (host or host:port) to speak plain HTTP with. May be given several times.
    #[arg(long = "plain-http-registry")]
    plain_http_registries: Vec<String>,

    /// The folder that all paths are below: / in a container.
    #[arg(long, default_value = "/")]
    root: PathBuf,
}

/// A package to fetch.
#[derive(Debug, Clone)]
struct Wanted {
    name: String,
    reference: ImageReference,
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let (name, reference) = text.split_once('=').ok_or("write NAME=REPOSITORY@DIGEST")?;
    let folder = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    if name.is_empty() || !name.bytes().all(folder) {
        return Err(format!("{} is no folder's name: lower-case letters, digits and '-'", quoted(name)));
    }
    let reference = ImageReference::parse(reference).map_err(|error| error.to_string())?;
    if reference.digest().is_none() {
        return Err("a package that is fetched has a digest".to_owned());
    }
    Ok(Wanted { name: name.to_owned(), reference })
}

/// Fetches the packages that the arguments name. Reports a failure on standard error and in the container's
/// termination message.
#[must_use]
pub fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        // Help and version are errors of the parser too.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            return failed(Path::new("/"), Fault::new(Problem::Internal, error.to_string()));
        }
    };
    let root = options.root.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(|error| Fault::new(Problem::Internal, error.to_string()))
        .and_then(|runtime| runtime.block_on(until_stopped(options)));
    match result {
        Ok(code) => code,
        Err(fault) => failed(&root, fault),
    }
}

fn failed(root: &Path, fault: Fault) -> ExitCode {
    let failure: Failure = fault.failure();
    eprintln!("{}", failure.message);
    // Outside Kubernetes this file is missing, and no message is wanted.
    let path = below(root, place::TERMINATION_LOG);
    if path.exists()
        && let Err(error) = fs::write(&path, failure.to_json())
    {
        eprintln!("{}: {error}", path.display());
    }
    ExitCode::FAILURE
}

/// A PID 1 ends only by signals that it handles.
async fn until_stopped(options: Options) -> Result<ExitCode, Fault> {
    let mut ended =
        signal(SignalKind::terminate()).map_err(|error| Fault::new(Problem::Internal, error.to_string()))?;
    tokio::select! {
        fetched = fetch(options) => fetched.map(|()| ExitCode::SUCCESS),
        // Does not wait for threads that still unpack.
        _ = ended.recv() => std::process::exit(i32::from(TERMINATED)),
    }
}

async fn fetch(options: Options) -> Result<(), Fault> {
    // Fails if a provider is already installed, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = Registry::new(RegistryConfig {
        plain_http: options.plain_http_registries,
        timeout: REGISTRY_LIMIT,
        ca_bundle_pem: certificates(),
    })
    .map_err(|error| Fault::new(Problem::Internal, error.to_string()))?;
    let (keyring, notes) = pull_secrets(&below(&options.root, place::PULL_SECRETS_DIR));
    let fetcher = Fetcher {
        registry,
        platform: Platform::linux(&options.architecture),
        keyring,
        notes,
        limits: Limits { bytes: options.limit_bytes, entries: options.max_entries },
        give_up: Instant::now() + Duration::from_secs(options.give_up_after_seconds),
    };
    for Wanted { name, reference } in &options.packages {
        let folder = below(&options.root, place::PACKAGES_DIR).join(name);
        let filled = fetcher.fetch(reference, &folder).await;
        let (entries, bytes) = filled.map_err(|fault| fault.of(reference).of(format!("package {name}")))?;
        println!("{name}: {reference}, {entries} entries, {bytes} bytes in blocks");
    }
    Ok(())
}

/// Joins the certificates of authorities from their parts.
fn certificates() -> Option<Vec<u8>> {
    let part = |index: usize| env::var(format!("{}{index}", place::ENV_FETCH_CA)).ok();
    let pem: String = (0..).map_while(part).collect();
    (!pem.is_empty()).then(|| pem.into_bytes())
}

/// Reads the credentials in a folder of folders. Returns also why others could not be read.
fn pull_secrets(folder: &Path) -> (Keyring, Vec<String>) {
    let (mut keyring, mut notes) = (Keyring::default(), Vec::new());
    // Without pull Secrets there is no folder.
    let Ok(secrets) = fs::read_dir(folder) else { return (keyring, notes) };
    let mut secrets: Vec<PathBuf> = secrets.flatten().map(|entry| entry.path()).collect();
    secrets.sort();
    for secret in secrets {
        for form in [PullSecretForm::DockerConfigJson, PullSecretForm::DockerCfg] {
            match fs::read(secret.join(form.data_key())) {
                Ok(content) => {
                    notes.extend(
                        keyring.add(&Origin::Pod, form, &content).err().map(|error| error.to_string()),
                    );
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // The kubelet's own links lie beside the folders.
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
                Err(error) => notes.push(format!("a pull Secret cannot be read: {error}")),
            }
        }
    }
    (keyring, notes)
}

fn below(root: &Path, path: &str) -> PathBuf {
    // Joining an absolute path would replace the root.
    root.join(path.trim_start_matches('/'))
}
