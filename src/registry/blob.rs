//! A blob as it comes, checked against its size and digest while it comes.

use std::time::Duration;

use reqwest::Response;

use super::digest::Hasher;
use super::transport::clean;

/// A registry that sends nothing for so long has lost us.
const PATIENCE: Duration = Duration::from_secs(30);

/// A blob that is being read.
pub struct Blob {
    response: Response,
    hasher: Hasher,
    expected: String,
    size: u64,
    read: u64,
}

/// Why a blob did not come.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// It broke off; asking again may help.
    #[error("the registry's answer broke off: {0}")]
    Lost(String),
    /// It is not what was asked for.
    #[error("{0}")]
    Mismatch(String),
}

impl Blob {
    pub(super) const fn new(response: Response, hasher: Hasher, expected: String, size: u64) -> Self {
        Self { response, hasher, expected, size, read: 0 }
    }

    /// The next part. `None` at the end, and then size and digest have been those that were expected.
    ///
    /// # Errors
    /// [`BlobError`]. Not a byte beyond the expected size is handed out.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, BlobError> {
        let chunk = tokio::time::timeout(PATIENCE, self.response.chunk())
            .await
            .map_err(|_| BlobError::Lost(format!("nothing came for {} s", PATIENCE.as_secs())))?
            // The address of storage may carry a signature.
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
