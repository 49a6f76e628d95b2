//! The archive at the start, and what is removed from it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use tracing::{info, warn};

use crate::{
    archive::{Archive, ArchiveError, LogKey, Reason, SetupError},
    operator::{
        options::{Options, archive::ArchiveOptionsError},
        reconcile::Context,
    },
};

/// How long the start waits for the archive. One that answers later is used all the same.
const START: Duration = Duration::from_secs(10);
/// How often logs are removed that need not be kept.
const SWEEP: Duration = Duration::from_mins(30);

/// Finds the archive, if there is to be one, and checks that it does what it must.
///
/// # Errors
/// If somebody must change something. A fault that may pass by itself is no error.
pub(super) async fn connect(options: &Options) -> Result<Option<Archive>, ArchiveOptionsError> {
    let Some(archive) = options.archive.connect()? else { return Ok(None) };
    let url = options.archive.url.as_deref().unwrap_or_default();
    let removes = options.retention.retention().removes();
    match tokio::time::timeout(START, archive.check(removes)).await {
        Ok(Ok(())) => info!(url, "logs are archived"),
        Ok(Err(SetupError::Check(error))) if may_pass(&error) => {
            warn!(url, %error, "logs are archived once the archive works");
        }
        Ok(Err(error)) => return Err(options.archive.refused(error)),
        Err(_) => warn!(url, "the archive does not answer; logs are archived once it does"),
    }
    Ok(Some(archive))
}

/// Runs must go on while an archive is full: this process may be the one that makes room.
const fn may_pass(error: &ArchiveError) -> bool {
    error.may_pass() || matches!(error, ArchiveError::Unavailable { reason: Reason::Full, .. })
}

/// Removes logs that need not be kept, now and again. The caches are filled.
pub(super) async fn sweep(context: Arc<Context>) {
    let Some(archivist) = context.archivist.clone() else { return };
    let retention = *archivist.retention();
    if !retention.removes() {
        return;
    }
    loop {
        let under_way: HashSet<(String, u32)> = context
            .actions
            .state()
            .iter()
            .filter_map(|action| {
                let action = action.known();
                let run = action.status?.run.filter(|run| run.finished_at.is_none())?;
                Some((action.metadata.uid?, run.number))
            })
            .collect();
        let is_under_way = |key: &LogKey| {
            archivist.has(key) || under_way.contains(&(key.action_uid().to_owned(), key.run()))
        };
        match archivist.archive().sweep(&retention, Timestamp::now(), is_under_way).await {
            Ok(swept) if swept.removed > 0 => {
                info!(
                    removed = swept.removed,
                    bytes = swept.removed_bytes,
                    kept = swept.kept,
                    kept_bytes = swept.kept_bytes,
                    "removed logs from the archive"
                );
            }
            Ok(_) => {}
            Err(error) => {
                context.metrics.archive_failed(&error);
                warn!(%error, "no logs were removed from the archive");
            }
        }
        tokio::time::sleep(SWEEP).await;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn options(flags: &[&str]) -> Options {
        Options::parse_from([&["longshore", "--runner-image=r/runner:1"], flags].concat())
    }

    #[tokio::test]
    async fn an_archive_that_cannot_be_ends_the_start_with_its_flag() {
        assert!(connect(&options(&[])).await.unwrap().is_none());
        for (url, says) in [("file:///no/such/folder", "the folder cannot be used"), ("logs", "it is no URL")]
        {
            let refused = connect(&options(&["--archive-url", url])).await.unwrap_err().to_string();
            assert!(refused.starts_with(&format!("--archive-url {url}: {says}")), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_folder_is_an_archive() {
        let folder = std::env::temp_dir().join(format!("longshore-archive-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let url = format!("--archive-url=file://{}", folder.display());
        let archive = connect(&options(&[&url, "--archive-keep-for=30d"])).await;
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(archive.unwrap().is_some());
    }

    #[test]
    fn only_what_somebody_must_change_ends_the_start() {
        for (reason, expected) in [
            (Reason::Denied, false),
            (Reason::Missing, false),
            (Reason::Full, true),
            (Reason::Unreachable, true),
            (Reason::Failed, true),
        ] {
            let error = ArchiveError::Unavailable { reason, detail: String::new() };
            assert_eq!(may_pass(&error), expected, "{reason}");
        }
    }
}
