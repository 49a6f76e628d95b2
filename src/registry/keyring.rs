//! Pull Secrets: which credentials they hold for which images.
//!
//! Keys are matched as in the kubelet ([documented], in code [`pkg/credentialprovider/keyring.go`]). So the
//! kubelet pulls an image with the entry that resolved it here. Crates that read Docker's configuration (such
//! as `docker_credential`) look keys up by the exact registry, as Docker does: no globs, no paths, one
//! answer.
//!
//! [documented]: https://kubernetes.io/docs/concepts/containers/images/#config-json
//! [`pkg/credentialprovider/keyring.go`]: https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/credentialprovider/keyring.go

use std::fmt;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::credentials::{Asker, Credentials, Origin};
use super::quoted::quoted;
use super::reference::ImageReference;
use super::token::bearer;
use super::transport::clean;

#[cfg(test)]
mod tests;

/// The most that a Secret can hold, in bytes (`MaxSecretSize` of the Kubernetes API).
const MAX_SIZE: usize = 1 << 20;

/// The most entries of one Secret. A few hundred registries are already many.
const MAX_ENTRIES: usize = 1000;

/// The most credentials tried for one image. Registries lock users out after many wrong passwords in a row.
const MAX_ASKERS: usize = 8;

/// Docker Hub's name in the keys, without `https://` and `/v1/`.
const DOCKER_HUB_KEY: &str = "index.docker.io";

/// Decodes like the kubelet: with padding or without, and with any last bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The two forms of pull Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullSecretForm {
    /// `{"auths": {"registry.example.com": {...}}}`
    DockerConfigJson,
    /// The older form, without `auths` around it.
    DockerCfg,
}

impl PullSecretForm {
    /// Finds the form by a Secret's `type`. Returns none for other types, which the kubelet ignores.
    #[must_use]
    pub fn of_type(secret_type: &str) -> Option<Self> {
        match secret_type {
            "kubernetes.io/dockerconfigjson" => Some(Self::DockerConfigJson),
            "kubernetes.io/dockercfg" => Some(Self::DockerCfg),
            _ => None,
        }
    }

    /// The key in the Secret's `data`.
    #[must_use]
    pub const fn data_key(self) -> &'static str {
        match self {
            Self::DockerConfigJson => ".dockerconfigjson",
            Self::DockerCfg => ".dockercfg",
        }
    }
}

/// Why a Secret gives no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin} cannot be used to pull images: {fault}")]
pub struct KeyringError {
    /// The source of the Secret.
    pub origin: Origin,
    /// The fault of its content.
    pub fault: KeyringFault,
}

/// The fault of a pull Secret's content. The texts repeat nothing of it except the names of registries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringFault {
    /// More than 1 MiB.
    #[error("it has {size} bytes, at most {MAX_SIZE} are read")]
    TooLarge {
        /// In bytes.
        size: usize,
    },
    /// More than a thousand entries.
    #[error("it has {count} entries, at most {MAX_ENTRIES} are read")]
    TooManyEntries {
        /// How many.
        count: usize,
    },
    /// The content is not JSON.
    #[error(
        "its content is no JSON (line {line}, column {column}); make it with kubectl create secret \
         docker-registry"
    )]
    NotJson {
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
    },
    /// The content is JSON of another form.
    #[error(
        "its content is JSON of another form than the Secret's type says (line {line}, column {column}); \
         make it with kubectl create secret docker-registry"
    )]
    OtherForm {
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
    },
    /// `auth` is not base64 of user and password.
    #[error(
        "its entry for {} has an \"auth\" that is not base64 of user:password in UTF-8",
        quoted(registry)
    )]
    Auth {
        /// The entry's key.
        registry: String,
    },
    /// `registrytoken` does not fit into a header.
    #[error(
        "its entry for {} has a \"registrytoken\" with characters that no token can have",
        quoted(registry)
    )]
    RegistryToken {
        /// The entry's key.
        registry: String,
    },
}

/// The credentials of one or several pull Secrets.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// The more specific first. For the kubelet this means the descending order of the keys.
    entries: Vec<(Key, Asker)>,
}

impl Keyring {
    /// Adds a Secret's content. Entries without credentials are ignored: Docker writes them if a helper has
    /// the credentials. Entries whose key is no address are ignored too. `credHelpers` are not run.
    ///
    /// # Errors
    /// The content is too large, or has another form. Then nothing is added, since the kubelet would not use
    /// it either.
    pub fn add(&mut self, origin: &Origin, form: PullSecretForm, content: &[u8]) -> Result<(), KeyringError> {
        let added =
            entries(origin, form, content).map_err(|fault| KeyringError { origin: origin.clone(), fault })?;
        self.entries.extend(added);
        // The sort is stable: with equal keys, the Secret added first is tried first.
        self.entries.sort_by(|(one, _), (other, _)| other.cmp(one));
        Ok(())
    }

    /// Whether there are no credentials at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the credentials to try for the image, in this order, until one is accepted. Each occurs once,
    /// and there are at most eight.
    #[must_use]
    pub fn askers(&self, image: &ImageReference) -> Vec<&Asker> {
        let mut fitting: Vec<&Asker> = Vec::new();
        for (_, asker) in self.entries.iter().filter(|(key, _)| key.fits(image)) {
            add_new(&mut fitting, asker);
        }
        // Like the kubelet, only if no entry names docker.io itself.
        if fitting.is_empty() && image.registry() == "docker.io" {
            for (_, asker) in self.entries.iter().filter(|(key, _)| key.0 == DOCKER_HUB_KEY) {
                add_new(&mut fitting, asker);
            }
        }
        fitting
    }
}

fn add_new<'a>(fitting: &mut Vec<&'a Asker>, asker: &'a Asker) {
    let known = fitting.iter().any(|other| {
        // The same credentials are tried again in another scope, since scopes share no cache.
        other.scope() == asker.scope() && other.credentials().same_as(asker.credentials())
    });
    if !known && fitting.len() < MAX_ASKERS {
        fitting.push(asker);
    }
}

/// `host[:port][/path]`, with globs in the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key(String);

impl Key {
    /// Removes the parts that do not count. The rest may be no address, and then fits no image.
    fn new(written: &str) -> Self {
        let rest = ["https://", "http://"].iter().find_map(|scheme| written.strip_prefix(scheme));
        let rest = rest.unwrap_or(written);
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        // A password does not belong here, and must not appear in messages.
        let host = authority.rsplit('@').next().unwrap_or_default();
        // Removes the version of the API. Docker Hub's key still has one.
        let api = ["/v1/", "/v2/"].iter().any(|version| path.starts_with(version));
        let path = if api { &path[3..] } else { path };
        Self(if path == "/" { host.to_owned() } else { format!("{host}{path}") })
    }

    fn fits(&self, image: &ImageReference) -> bool {
        let (authority, path) = self.0.split_at(self.0.find('/').unwrap_or(self.0.len()));
        let (host, port) = with_port(authority);
        let (image_host, image_port) = with_port(image.registry());
        let (globs, labels) = (host.split('.'), image_host.split('.'));
        port == image_port
            && globs.clone().count() == labels.clone().count()
            && globs.zip(labels).all(|(glob, label)| glob_fits(glob, label))
            // The prefix is compared by characters, not by components: "/team" fits "/team-b" too.
            && format!("/{}", image.repository()).starts_with(path)
    }
}

/// Splits into host and port. Without a port, that is empty. IPv6 addresses are in brackets.
fn with_port(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port),
        _ => (authority, ""),
    }
}

/// Matches a glob in which `*` means any number of characters of one label. Go's globs know more, but a URL's
/// host cannot contain `?` and `\`, and `[...]` is not documented for these keys.
fn glob_fits(glob: &str, label: &str) -> bool {
    let Some((start, rest)) = glob.split_once('*') else { return glob == label };
    let Some(mut label) = label.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(at) = label.find(part) else { return false };
        label = &label[at + part.len()..];
    }
    label.ends_with(end)
}

fn entries(origin: &Origin, form: PullSecretForm, content: &[u8]) -> Result<Vec<(Key, Asker)>, KeyringFault> {
    if content.len() > MAX_SIZE {
        return Err(KeyringFault::TooLarge { size: content.len() });
    }
    let read = match form {
        PullSecretForm::DockerConfigJson => {
            serde_json::from_slice(content).map(|Config { auths }| auths.unwrap_or_default())
        }
        PullSecretForm::DockerCfg => serde_json::from_slice(content),
    };
    // serde_json's own errors repeat the faulty value.
    let Entries(entries) = read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        if error.is_data() {
            KeyringFault::OtherForm { line, column }
        } else {
            KeyringFault::NotJson { line, column }
        }
    })?;
    if entries.len() > MAX_ENTRIES {
        return Err(KeyringFault::TooManyEntries { count: entries.len() });
    }
    let mut found = Vec::new();
    for (key, entry) in entries {
        let key = Key::new(&key);
        if let Some(credentials) = entry.unwrap_or_default().credentials(&key)? {
            found.push((key, Asker::new(credentials, origin.clone())));
        }
    }
    Ok(found)
}

#[derive(serde::Deserialize)]
struct Config {
    auths: Option<Entries>,
}

/// The entries in the order in which they are written.
#[derive(Default)]
struct Entries(Vec<(String, Option<Entry>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("entries by registry")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Entry {
    username: Option<String>,
    #[serde(deserialize_with = "secret")]
    password: SecretString,
    #[serde(deserialize_with = "secret")]
    auth: SecretString,
    #[serde(deserialize_with = "secret")]
    identitytoken: SecretString,
    #[serde(deserialize_with = "secret")]
    registrytoken: SecretString,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default().into())
}

impl Entry {
    /// Tokens come first, as in Docker. `auth` wins over user and password, as in the kubelet.
    fn credentials(self, key: &Key) -> Result<Option<Credentials>, KeyringFault> {
        let registry = || clean(&key.0);
        let Self { username, password, auth, identitytoken, registrytoken } = self;
        let filled = |secret: &SecretString| !secret.expose_secret().is_empty();
        if filled(&registrytoken) {
            if bearer(registrytoken.expose_secret()).is_none() {
                return Err(KeyringFault::RegistryToken { registry: registry() });
            }
            return Ok(Some(Credentials::RegistryToken(registrytoken)));
        }
        if filled(&identitytoken) {
            return Ok(Some(Credentials::IdentityToken(identitytoken)));
        }
        let (username, password) = if filled(&auth) {
            decoded(&auth).ok_or_else(|| KeyringFault::Auth { registry: registry() })?
        } else {
            (username.unwrap_or_default(), password)
        };
        let empty = username.is_empty() && !filled(&password);
        Ok((!empty).then_some(Credentials::Basic { username, password }))
    }
}

fn decoded(auth: &SecretString) -> Option<(String, SecretString)> {
    // Go's decoder ignores line breaks, which `base64` writes.
    let mut text = Zeroizing::new(auth.expose_secret().as_bytes().to_vec());
    text.retain(|byte| !matches!(byte, b'\r' | b'\n'));
    let bytes = Zeroizing::new(BASE64.decode(&*text).ok()?);
    let (username, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some((username.to_owned(), password.into()))
}
