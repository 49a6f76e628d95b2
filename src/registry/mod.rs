//! Resolves a reference that people write (`registry.example.com/tools:1.4`). It finds the digest that a tag
//! names now, the digests of the platform's manifest and config, and the user that the image asks for.
//!
//! The manifests' types are oci-client's, but its HTTP client is not used: it reads manifests, errors and
//! tokens of any length into memory. It drops `Retry-After`, and the texts of a 401 and of a token server. It
//! also follows a token server's address to plain HTTP. `client` replaces it, with the same reqwest.

mod blob;
mod client;
mod credentials;
mod digest;
mod error;
mod keyring;
mod manifest;
mod package;
mod package_words;
mod platform;
mod quoted;
mod reach;
pub mod reference;
mod refusal;
mod resolve;
mod token;
mod transport;
mod user;

pub use blob::{Blob, BlobError};
pub use credentials::{Asker, Credentials, Origin, Scope};
pub use error::{Advice, ResolveError};
pub use keyring::{Keyring, KeyringError, KeyringFault, PullSecretForm};
pub use package::{Form, Layer, PackageManifest};
pub use platform::Platform;
pub use reference::{ImageReference, ReferenceError};
pub use resolve::{Registry, RegistryConfig, ResolvedImage, SetupError};
pub use user::{DEFAULT_USER, ImageUser, MAX_NAME, pod_user};
