//! Stored logs: whole, outliving their pods.
//!
//! The archive is a folder, or a bucket of S3, GCS or Azure. Below a prefix of its own, each attempt of each run
//! has a folder, named by [`LogKey`]:
//!
//! ```text
//! v1/logs/NAMESPACE/ACTION-UID/RUN-ATTEMPT/POD-UID/
//!     000000000001-000000000000.zst    frames from number 1, lines from number 0
//!     000000083112-000000080000.zst    goes on where the one before ends
//!     run.json                         the run's record. Once it is there, the run has ended
//! ```
//!
//! - An object is written once, and never changed. Its name says where it begins, which follows from the one
//!   before. A writer creates it only if it is not there. So two operators that both believe they lead store
//!   nothing twice. A crash loses nothing that was stored.
//! - An object is made of chunks, which can be read one by one. An index of them is at its end. A few requests
//!   read the last lines, or those since a time.
//! - `zstd -dc` prints the content of an object: the frames as the runner wrote them.
//!
//! How it is used:
//!
//! ```text
//! let archive = Archive::connect(&settings)?;       at the start
//! archive.check(retention.removes()).await?;        refuses what cannot work
//!
//! let mut writer = archive.open(key).await?;        writer.next(): the frame to go on with
//! let transcript = writer.transcript().await?;      length and hash of what is stored
//! writer.append(&frame).await?;                     frames of any kind, in order, each number once
//! writer.skip_to(number).await?;                    those in front of it never come
//! writer.flush().await?;                            returns up to where all is safe
//! writer.finish(&record).await?;                    the run has ended
//!
//! archive.read(&key, query)                         a stream of entries
//! archive.sweep(&retention, now, is_under_way)      removes what need not be kept
//! ```
//!
//! Encryption is left to the store. This knows nothing of Kubernetes.

mod error;
mod log_key;
mod object;
mod position;
mod read;
mod retention;
pub mod run_record;
mod store;
mod sweep;
#[cfg(test)]
mod tests;
mod write;

pub use self::{
    error::{ArchiveError, Reason},
    log_key::{KeyError, LogKey},
    read::{Begin, Entry, Query, Summary, Text},
    retention::{Retention, StoredLog, Why, excess},
    store::{Archive, Settings, SetupError},
    sweep::Swept,
    write::Writer,
};
