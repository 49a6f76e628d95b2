//! Reads a blob part by part, and checks its size and digest on the way.

use std::time::Duration;

use reqwest::Response;

use super::digest::Hasher;
use super::transport::clean;

/// How long a registry may send nothing before the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// A blob that is being read.
pub struct Blob {
    response: Response,
    hasher: Hasher,
    expected: String,
    size: u64,
    read: u64,
}

/// Why a blob could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The connection broke. Asking again may help.
    #[error("the registry's answer broke off: {0}")]
    Lost(String),
    /// Size or digest is not the expected one.
    #[error("{0}")]
    Mismatch(String),
}

impl Blob {
    pub(super) const fn new(response: Response, hasher: Hasher, expected: String, size: u64) -> Self {
        Self { response, hasher, expected, size, read: 0 }
    }

    /// Returns the next part. Returns `None` at the end, once size and digest have matched.
    ///
    /// # Errors
    /// [`BlobError`]. It never returns a byte beyond the expected size.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, BlobError> {
        let chunk = tokio::time::timeout(PATIENCE, self.response.chunk())
            .await
            .map_err(|_| BlobError::Lost(format!("nothing came for {} s", PATIENCE.as_secs())))?
            // The storage's address may contain a signature.
            .map_err(|error| BlobError::Lost(clean(&error.without_url().to_string())))?;
        let Some(chunk) = chunk else { return self.end().map(|()| None) };
        self.read = self.read.saturating_add(chunk.len() as u64);
        if self.read > self.size {
            return Err(BlobError::Mismatch(format!(
                "{} should have {} bytes and has more",
                self.expected, self.size
            )));
        }
        self.hasher.update(&chunk);
        Ok(Some(chunk.to_vec()))
    }

    fn end(&mut self) -> Result<(), BlobError> {
        if self.read != self.size {
            return Err(BlobError::Mismatch(format!(
                "{} should have {} bytes and has {}",
                self.expected, self.size, self.read
            )));
        }
        if self.hasher.clone().finish() != self.expected {
            return Err(BlobError::Mismatch(format!(
                "what the registry sent for {} has another digest",
                self.expected
            )));
        }
        Ok(())
    }
}
