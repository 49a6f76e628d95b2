//! The connection to the store. Each call ends in time.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    BackoffConfig, Certificate, ClientConfigKey, ClientOptions, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
    path::Path,
};
use tokio::time::{sleep, timeout};
use tracing::debug;
use url::Url;

use super::{
    error::{ArchiveError, Reason},
    log_key::LogKey,
};

/// How long one request may take. It carries at most some megabytes.
const REQUEST: Duration = Duration::from_secs(20);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one call may take in all, with its retries. Then the caller learns that it failed.
const CALL: Duration = Duration::from_secs(40);
/// How often a call is made. `object_store` retries each itself, but not if it was broken off: it may have
/// happened. All of ours may happen twice.
const CALLS: u32 = 3;
/// The pause before the second call. It doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// The place of the archive, and the way to it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The URL: `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`.
    pub url: String,
    /// Certificates (PEM) of authorities that the store may have, beside the system's.
    pub ca_bundle_pem: Option<Vec<u8>>,
    /// The environment: the clouds' tools take their credentials, endpoints and regions from it, and so does
    /// this. The names are `AWS_`, `AZURE_` and `GOOGLE_`, as `object_store` knows them.
    pub environment: HashMap<String, String>,
}

/// Why there can be no archive as it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The URL does not name a store.
    #[error("{0}")]
    Url(String),
    /// The store cannot be set up, such as for a credential that cannot be read.
    #[error("{0}")]
    Store(String),
    /// The store does not do what the archive needs.
    #[error(transparent)]
    Check(#[from] ArchiveError),
    /// The store overwrites an object that must not be overwritten.
    #[error(
        "the store overwrote an object that it was told to create only if it does not exist (If-None-Match). \
         Two operators could spoil each other's logs there"
    )]
    Overwrites,
    /// The store returns something else than what was written.
    #[error("the store does not return what was written to it")]
    Forgets,
}

/// Stored logs. Cheap to clone: all clones share one store.
#[derive(Debug, Clone)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    /// The archive's own folder within the store.
    root: Path,
    /// The folder on this machine, if it is one.
    folder: Option<std::path::PathBuf>,
    /// The memory of all logs that are being written, in bytes.
    pub(super) held: Arc<AtomicUsize>,
}

/// An object, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// The name below the archive's own folder.
    pub(super) name: String,
    pub(super) size: u64,
    /// When it was written, by the store's clock, in milliseconds since 1970.
    pub(super) written: i64,
}

/// The result of creating an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Created {
    Now,
    /// It exists. Somebody else wrote it, or an earlier call of ours whose answer was lost.
    Before {
        size: u64,
    },
}

impl Archive {
    /// Finds the store. It is not asked anything yet: [`Archive::check`] does.
    ///
    /// # Errors
    /// If the URL names no store, or what is in the environment is not enough for it.
    pub fn connect(settings: &Settings) -> Result<Self, SetupError> {
        let url = parse(&settings.url)?;
        let failed = |error: object_store::Error| SetupError::Store(error.to_string());
        let root = Path::from_url_path(url.path())
            .map_err(|error| SetupError::Url(format!("its path cannot be used: {error}")))?;
        let store: Arc<dyn ObjectStore> =
            match url.scheme() {
                "file" => return Self::in_folder(&url),
                "s3" => {
                    let builder = AmazonS3Builder::new()
                        .with_client_options(client(settings)?)
                        .with_retry(retry())
                        .with_url(bucket(&url));
                    let builder = settings.environment.iter().fold(builder, |builder, (name, value)| {
                        match config::<AmazonS3ConfigKey>(name, "AWS_") {
                            Some(key) => builder.with_config(key, value),
                            None => builder,
                        }
                    });
                    Arc::new(builder.build().map_err(failed)?)
                }
                "gs" => {
                    let builder = GoogleCloudStorageBuilder::new()
                        .with_client_options(client(settings)?)
                        .with_retry(retry())
                        .with_url(bucket(&url));
                    let builder = settings.environment.iter().fold(builder, |builder, (name, value)| {
                        match config::<GoogleConfigKey>(name, "GOOGLE_") {
                            Some(key) => builder.with_config(key, value),
                            None => builder,
                        }
                    });
                    Arc::new(builder.build().map_err(failed)?)
                }
                "az" => {
                    let builder = MicrosoftAzureBuilder::new()
                        .with_client_options(client(settings)?)
                        .with_retry(retry())
                        .with_url(bucket(&url));
                    let builder = settings.environment.iter().fold(builder, |builder, (name, value)| {
                        match config::<AzureConfigKey>(name, "AZURE_") {
                            Some(key) => builder.with_config(key, value),
                            None => builder,
                        }
                    });
                    Arc::new(builder.build().map_err(failed)?)
                }
                _ => return Err(SetupError::Url(UNKNOWN_SCHEME.to_owned())),
            };
        Ok(Self::on(store, root))
    }

    fn in_folder(url: &Url) -> Result<Self, SetupError> {
        let no_folder = |why: String| SetupError::Url(format!("the folder cannot be used: {why}"));
        let folder =
            url.to_file_path().map_err(|()| no_folder("it is no path of this machine".to_owned()))?;
        let kind = std::fs::metadata(&folder).map_err(|error| no_folder(error.to_string()))?;
        if !kind.is_dir() {
            return Err(no_folder("it is a file".to_owned()));
        }
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| no_folder(error.to_string()))?
            // Otherwise a node that loses power loses logs that were reported as stored.
            .with_fsync(true)
            .with_automatic_cleanup(true);
        Ok(Self { folder: Some(folder), ..Self::on(Arc::new(store), Path::default()) })
    }

    /// An archive in a store of the caller's own.
    #[must_use]
    pub fn on(store: Arc<dyn ObjectStore>, root: Path) -> Self {
        Self { store, root, folder: None, held: Arc::default() }
    }

    /// Checks that the store does all that the archive needs: it creates, refuses to create again, reads and
    /// lists. With `removes`, it must delete too. Without, a store that keeps everything for ever will do.
    ///
    /// # Errors
    /// If it does not.
    pub async fn check(&self, removes: bool) -> Result<(), SetupError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| SetupError::Store(error.to_string()))?;
        let id = crate::record::hex(&random);
        let name = format!("v1/checks/{id}");
        let text = Bytes::from(id);
        self.create(&name, vec![text.clone()]).await?;
        let again = self.create(&name, vec![Bytes::from_static(b"overwritten")]).await;
        let read = self.read_range(&name, 0..text.len() as u64).await;
        let listed = self.list("v1/checks").await;
        let deleted = self.delete(vec![name.clone()]).await;
        if again? == Created::Now {
            return Err(SetupError::Overwrites);
        }
        if read? != text || !listed?.iter().any(|object| object.name == name) {
            return Err(SetupError::Forgets);
        }
        if removes {
            deleted?;
        }
        Ok(())
    }

    /// The folder on this machine in which the archive is, if it is in one.
    pub(super) fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    fn path(&self, name: &str) -> Path {
        let root = self.root.as_ref();
        let path = if root.is_empty() { name.to_owned() } else { format!("{root}/{name}") };
        // Both parts were checked. `from` would encode what is encoded in the root.
        Path::parse(&path).unwrap_or_else(|_| Path::from(path))
    }

    /// Makes a call again as long as that may help.
    async fn call<T, F>(&self, what: &str, call: impl Fn() -> F) -> Result<T, object_store::Error>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let late = || object_store::Error::Generic {
            store: "archive",
            source: Box::new(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("{what} takes too long"),
            )),
        };
        let calls = async {
            let mut pause = PAUSE;
            for _ in 1..CALLS {
                match timeout(REQUEST, call()).await.unwrap_or_else(|_| Err(late())) {
                    Err(error)
                        if matches!(error, object_store::Error::Generic { .. }) && may_pass(&error) =>
                    {
                        debug!(what, %error, "the archive is asked again");
                    }
                    result => return result,
                }
                sleep(pause).await;
                pause *= 2;
            }
            call().await
        };
        timeout(CALL, calls).await.unwrap_or_else(|_| Err(late()))
    }

    /// Creates an object, unless it exists. It is either whole or not there.
    pub(super) async fn create(&self, name: &str, parts: Vec<Bytes>) -> Result<Created, ArchiveError> {
        let path = self.path(name);
        let payload: PutPayload = parts.into_iter().collect();
        for last in [false, false, true] {
            let create = || {
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                self.store.put_opts(&path, payload.clone(), options)
            };
            match self.call("storing", create).await {
                Ok(_) => return Ok(Created::Now),
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(ArchiveError::of(&error)),
            }
            // S3 says the same (409) if another writer is just at it, and that one can fail.
            match self.size(name).await {
                Ok(size) => return Ok(Created::Before { size }),
                Err(ArchiveError::NotFound(_)) if !last => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        Err(ArchiveError::late("storing"))
    }

    /// Writes an object, whether it exists or not.
    pub(super) async fn overwrite(&self, name: &str, content: Bytes) -> Result<(), ArchiveError> {
        let path = self.path(name);
        let put = || self.store.put_opts(&path, content.clone().into(), PutOptions::default());
        self.call("storing", put).await.map(drop).map_err(|error| ArchiveError::of(&error))
    }

    /// The size of an object, in bytes.
    async fn size(&self, name: &str) -> Result<u64, ArchiveError> {
        let path = self.path(name);
        let head = self.call("reading", || self.store.head(&path)).await;
        head.map(|meta| meta.size).map_err(|error| of_object(&error, name))
    }

    /// Reads a range of an object.
    pub(super) async fn read_range(
        &self,
        name: &str,
        range: std::ops::Range<u64>,
    ) -> Result<Bytes, ArchiveError> {
        let path = self.path(name);
        let read = self.call("reading", || self.store.get_range(&path, range.clone())).await;
        let read = read.map_err(|error| of_object(&error, name))?;
        if read.len() as u64 == range.end - range.start {
            Ok(read)
        } else {
            Err(ArchiveError::damaged(name, "it is shorter than it was"))
        }
    }

    /// Reads an object of at most `most` bytes.
    pub(super) async fn read_whole(&self, name: &str, most: u64) -> Result<Bytes, ArchiveError> {
        let size = self.size(name).await?;
        if size > most {
            return Err(ArchiveError::damaged(name, format!("it is larger than {most} bytes")));
        }
        if size == 0 { Ok(Bytes::new()) } else { self.read_range(name, 0..size).await }
    }

    /// The objects in a folder and in those below it, by name.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Listed>, ArchiveError> {
        let path = self.path(folder);
        let list = || self.store.list(Some(&path)).map_ok(|meta| self.listed(&meta)).try_collect::<Vec<_>>();
        let mut listed = match self.call("listing", list).await {
            Ok(listed) => listed,
            // A folder without logs may not exist.
            Err(error) if self.folder.is_some() && is_missing(&error) => Vec::new(),
            Err(error) => return Err(ArchiveError::of(&error)),
        };
        listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(listed)
    }

    /// Passes each object below a folder to `see`. They come in any order, and are not collected: there may be
    /// very many.
    pub(super) async fn list_each(
        &self,
        folder: &str,
        mut see: impl FnMut(Listed),
    ) -> Result<(), ArchiveError> {
        let path = self.path(folder);
        let mut objects = self.store.list(Some(&path));
        loop {
            match timeout(CALL, objects.try_next()).await {
                Err(_) => return Err(ArchiveError::late("listing")),
                Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(meta))) => see(self.listed(&meta)),
                Ok(Err(error)) if self.folder.is_some() && is_missing(&error) => return Ok(()),
                Ok(Err(error)) => return Err(ArchiveError::of(&error)),
            }
        }
    }

    fn listed(&self, meta: &object_store::ObjectMeta) -> Listed {
        let location = meta.location.as_ref();
        let below = location.strip_prefix(self.root.as_ref()).unwrap_or(location);
        Listed {
            name: below.trim_start_matches('/').to_owned(),
            size: meta.size,
            written: meta.last_modified.timestamp_millis(),
        }
    }

    /// The folders directly in a folder, by name.
    pub(super) async fn folders(&self, folder: &str) -> Result<Vec<String>, ArchiveError> {
        let path = self.path(folder);
        match self.call("listing", || self.store.list_with_delimiter(Some(&path))).await {
            Ok(listed) => Ok(listed
                .common_prefixes
                .iter()
                .filter_map(|path| path.filename())
                .map(str::to_owned)
                .collect()),
            Err(error) if self.folder.is_some() && is_missing(&error) => Ok(Vec::new()),
            Err(error) => Err(ArchiveError::of(&error)),
        }
    }

    /// Deletes objects. An object that does not exist is no error.
    pub(super) async fn delete(&self, names: Vec<String>) -> Result<(), ArchiveError> {
        let paths: Vec<_> = names.iter().map(|name| Ok(self.path(name))).collect();
        let mut deleted = self.store.delete_stream(Box::pin(futures::stream::iter(paths)));
        let mut failed = Ok(());
        loop {
            match timeout(CALL, futures::StreamExt::next(&mut deleted)).await {
                Err(_) => return Err(ArchiveError::late("deleting")),
                Ok(None) => return failed,
                Ok(Some(Ok(_) | Err(object_store::Error::NotFound { .. }))) => {}
                Ok(Some(Err(error))) => failed = Err(ArchiveError::of(&error)),
            }
        }
    }

    /// The folder of a log's object, below the archive's own.
    pub(super) fn object_name(key: &LogKey, object: &str) -> String {
        format!("{key}/{object}")
    }
}

const UNKNOWN_SCHEME: &str = "it must begin with file:///, s3://, gs:// or az://";

fn parse(text: &str) -> Result<Url, SetupError> {
    let wrong = |why: &str| SetupError::Url(why.to_owned());
    let url = Url::parse(text).map_err(|error| SetupError::Url(format!("it is no URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must hold no credentials: they belong in the environment"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must end with its path: settings belong in the environment"));
    }
    match (url.scheme(), url.host_str().is_some_and(|host| !host.is_empty())) {
        ("file", false) if url.path() != "/" => Ok(url),
        ("file", false) => Err(wrong("it must name a folder, such as file:///var/lib/longshore")),
        ("file", true) => Err(wrong("a path has three slashes in front: file:///folder")),
        ("s3" | "gs" | "az", true) if url.port().is_none() => Ok(url),
        ("s3" | "gs" | "az", _) => Err(wrong(
            "it must name a bucket, such as s3://bucket/prefix; an endpoint belongs in the environment",
        )),
        _ => Err(wrong(UNKNOWN_SCHEME)),
    }
}

/// The URL without its path: `object_store` reads a bucket from it.
fn bucket(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}

/// Reads a name of the environment as `object_store` does. `None` if it is not for this store.
fn config<K: std::str::FromStr>(name: &str, prefix: &str) -> Option<K> {
    let is_ours = name.starts_with(prefix);
    is_ours.then(|| name.to_ascii_lowercase().parse().ok()).flatten()
}

fn client(settings: &Settings) -> Result<ClientOptions, SetupError> {
    let client = ClientOptions::new()
        .with_timeout(REQUEST)
        .with_connect_timeout(CONNECT)
        // Its own resolver calls the C library, which in a static binary finds no names.
        .with_config(ClientConfigKey::RandomizeAddresses, "false");
    let Some(pem) = &settings.ca_bundle_pem else { return Ok(client) };
    let certificates = Certificate::from_pem_bundle(pem)
        .map_err(|error| SetupError::Store(format!("the CA bundle cannot be read: {error}")))?;
    Ok(certificates.into_iter().fold(client, ClientOptions::with_root_certificate))
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: 4,
        retry_timeout: Duration::from_secs(15),
    }
}

fn may_pass(error: &object_store::Error) -> bool {
    ArchiveError::of(error).may_pass()
}

fn is_missing(error: &object_store::Error) -> bool {
    matches!(ArchiveError::of(error), ArchiveError::Unavailable { reason: Reason::Missing, .. })
}

/// The error of a call for one object. A bucket that does not exist answers in the same way, but says so.
fn of_object(error: &object_store::Error, name: &str) -> ArchiveError {
    let text = error.to_string();
    let is_bucket = ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"];
    match error {
        object_store::Error::NotFound { .. } if !is_bucket.iter().any(|words| text.contains(words)) => {
            ArchiveError::NotFound(name.to_owned())
        }
        _ => ArchiveError::of(error),
    }
}
