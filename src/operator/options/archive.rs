//! The flags of the archive. The operator and the log server share those that name it.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use clap::Args;

use super::units::{bytes, duration};
use crate::archive::{Archive, Retention, Settings, SetupError};

/// The beginnings of the variables that the clouds' own tools read.
const OF_CLOUDS: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// The place of the archive. Credentials are the clouds' own environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ArchiveOptions {
    /// URL of the archive for logs: `file:///folder`, `s3://bucket/prefix`, `gs://bucket/prefix` or
    /// `az://container/prefix`. Without it, a log goes with its pod.
    #[arg(id = "archive-url", long, env = "LONGSHORE_ARCHIVE_URL")]
    pub url: Option<String>,

    /// File with certificates (PEM) of authorities that the archive may have, beside the system's.
    #[arg(id = "archive-ca-file", long, env = "LONGSHORE_ARCHIVE_CA_FILE", requires = "archive-url")]
    pub ca_file: Option<PathBuf>,
}

/// How long logs are kept. A limit that is not set does not limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct RetentionOptions {
    /// How long a log is kept, such as 30d.
    #[arg(id = "archive-keep-for", long, env = "LONGSHORE_ARCHIVE_KEEP_FOR", value_parser = duration, requires = "archive-url")]
    pub keep_for: Option<Duration>,

    /// How many runs of each action are kept, each with all its attempts.
    #[arg(id = "archive-keep-runs", long, env = "LONGSHORE_ARCHIVE_KEEP_RUNS", value_parser = clap::value_parser!(u32).range(1..), requires = "archive-url")]
    pub keep_runs: Option<u32>,

    /// How much all logs may take in the archive, such as 50Gi. The oldest go first.
    #[arg(id = "archive-max-bytes", long, env = "LONGSHORE_ARCHIVE_MAX_BYTES", value_parser = bytes, requires = "archive-url")]
    pub max_bytes: Option<u64>,

    /// How much the logs of one namespace may take, such as 5Gi.
    #[arg(id = "archive-max-bytes-of-namespace", long, env = "LONGSHORE_ARCHIVE_MAX_BYTES_OF_NAMESPACE", value_parser = bytes, requires = "archive-url")]
    pub max_bytes_of_namespace: Option<u64>,
}

/// Why the archive cannot be used as the flags say.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveOptionsError {
    /// A file cannot be read.
    #[error("--archive-ca-file {path}: {source}")]
    CaFile {
        /// Its path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// There can be no archive there.
    #[error("--archive-url {url}: {source}")]
    Url {
        /// The URL. It holds no credentials.
        url: String,
        /// Why.
        source: SetupError,
    },
}

impl ArchiveOptions {
    /// The settings for [`Archive::connect`], with what is in the environment of this process. `None` without an
    /// archive.
    ///
    /// # Errors
    /// If the file with certificates cannot be read.
    pub fn settings(&self) -> Result<Option<Settings>, ArchiveOptionsError> {
        let Some(url) = &self.url else { return Ok(None) };
        let read = |path: &PathBuf| {
            std::fs::read(path)
                .map_err(|source| ArchiveOptionsError::CaFile { path: path.display().to_string(), source })
        };
        Ok(Some(Settings {
            url: url.clone(),
            ca_bundle_pem: self.ca_file.as_ref().map(read).transpose()?,
            environment: of_clouds(std::env::vars_os()),
        }))
    }

    /// Finds the archive. It is not asked anything yet. `None` without one.
    ///
    /// # Errors
    /// If there can be none: the text names the flag, and what to write.
    pub fn connect(&self) -> Result<Option<Archive>, ArchiveOptionsError> {
        let Some(settings) = self.settings()? else { return Ok(None) };
        Archive::connect(&settings).map(Some).map_err(|source| self.refused(source))
    }

    /// The error for an archive that cannot be used.
    #[must_use]
    pub fn refused(&self, source: SetupError) -> ArchiveOptionsError {
        // A URL with a password is refused, and must not be in a log because of that.
        let url = self.url.as_deref().unwrap_or_default();
        let hidden = url.rsplit_once('@').map(|(_, rest)| format!("…@{rest}"));
        ArchiveOptionsError::Url { url: hidden.unwrap_or_else(|| url.to_owned()), source }
    }
}

impl RetentionOptions {
    /// The limits.
    #[must_use]
    pub const fn retention(&self) -> Retention {
        let Self { keep_for, keep_runs, max_bytes, max_bytes_of_namespace } = *self;
        Retention {
            age: keep_for,
            namespace_bytes: max_bytes_of_namespace,
            bytes: max_bytes,
            runs: keep_runs,
        }
    }
}

fn of_clouds(
    variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> HashMap<String, String> {
    let texts = variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    texts
        .filter(|(name, _)| OF_CLOUDS.iter().any(|of| name.starts_with(of)))
        .filter_map(|(name, value)| Some((name, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        archive: ArchiveOptions,
        #[command(flatten)]
        retention: RetentionOptions,
    }

    fn flags(flags: &[&str]) -> Result<Flags, String> {
        Flags::try_parse_from([&["longshore"], flags].concat()).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_url_there_is_no_archive_and_nothing_that_needs_one() {
        let none = flags(&[]).ok().unwrap();
        assert!(none.archive.connect().unwrap().is_none() && !none.retention.retention().removes());
        for lonely in [
            "--archive-ca-file=/ca.pem",
            "--archive-keep-for=30d",
            "--archive-keep-runs=3",
            "--archive-max-bytes=1Gi",
            "--archive-max-bytes-of-namespace=1Gi",
        ] {
            let refused = flags(&[lonely]).err().unwrap();
            assert!(refused.contains("--archive-url"), "{lonely}: {refused}");
        }
    }

    #[test]
    fn flags_become_limits() {
        let all = flags(&[
            "--archive-url=file:///logs",
            "--archive-keep-for=30d",
            "--archive-keep-runs=3",
            "--archive-max-bytes=1Gi",
            "--archive-max-bytes-of-namespace=1Mi",
        ]);
        let expected = Retention {
            age: Some(Duration::from_hours(30 * 24)),
            namespace_bytes: Some(1 << 20),
            bytes: Some(1 << 30),
            runs: Some(3),
        };
        assert_eq!(all.ok().unwrap().retention.retention(), expected);
        for bad in ["--archive-keep-runs=0", "--archive-keep-for=0d", "--archive-max-bytes=1G"] {
            assert!(flags(&["--archive-url=file:///logs", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_with_the_flag_and_what_to_write() {
        for (url, says) in [
            ("logs", "--archive-url logs: it is no URL"),
            ("https://bucket/prefix", "must begin with file:///, s3://, gs:// or az://"),
            ("file://logs", "file:///folder"),
            ("s3://key:secret@bucket", "--archive-url …@bucket: it must hold no credentials"),
            ("file:///no/such/folder", "the folder cannot be used"),
        ] {
            let archive = flags(&["--archive-url", url]).ok().unwrap().archive;
            let refused = archive.connect().unwrap_err().to_string();
            assert!(refused.contains(says) && !refused.contains("secret"), "{url}: {refused}");
        }
    }

    #[test]
    fn a_file_of_certificates_that_is_not_there_is_refused_with_its_flag() {
        let all = ["--archive-url=s3://bucket", "--archive-ca-file=/no/such.pem"];
        let refused = flags(&all).ok().unwrap().archive.connect().unwrap_err().to_string();
        assert!(refused.starts_with("--archive-ca-file /no/such.pem: "), "{refused}");
    }

    #[test]
    fn of_the_environment_only_what_is_for_a_store_is_taken() {
        let variables = ["AWS_REGION", "AZURE_X", "GOOGLE_X", "PATH", "LONGSHORE_X"];
        let mut names: Vec<String> =
            of_clouds(variables.map(|name| (name.into(), "x".into()))).into_keys().collect();
        names.sort();
        assert_eq!(names, ["AWS_REGION", "AZURE_X", "GOOGLE_X"]);
    }
}
