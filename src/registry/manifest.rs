//! Reads a manifest: an index with an entry for each platform, or one image with its config.

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    OciImageIndex, OciImageManifest,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::platform::Platform;
use super::quoted::quoted;
use super::transport::clean;
use super::user::ImageUser;

/// The accepted media types. A registry that holds another type says so, or sends it anyway.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// A manifest that was understood.
pub(super) enum Manifest {
    Index(OciImageIndex),
    Image(Box<OciImageManifest>),
}

/// Why a manifest was not understood.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no manifest.
    Garbage(String),
    /// It is a manifest, but not of an image that a container can run.
    NotAnImage(String),
}

/// Enough of a manifest to see its kind.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: i64,
    media_type: Option<String>,
    manifests: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
}

impl Manifest {
    pub(super) fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, Fault> {
        let garbage = |error: serde_json::Error| {
            let content_type = clean(content_type.unwrap_or("an unknown type"));
            Fault::Garbage(format!(
                "content of {content_type} that is no manifest ({})",
                clean(&error.to_string())
            ))
        };
        let outline: Outline = serde_json::from_slice(body).map_err(garbage)?;
        let is_index = outline.manifests.is_some();
        let is_image = outline.config.is_some() || outline.layers.is_some();
        if is_index && is_image {
            // Readers could disagree about its kind: CVE-2021-41190.
            return Err(Fault::NotAnImage(
                "its manifest claims to be an index and an image at once".to_owned(),
            ));
        }
        // The content's own type comes first: the digest does not cover the header.
        let header = content_type.and_then(|t| t.split(';').next()).map(|t| t.trim().to_ascii_lowercase());
        match outline.media_type.or(header).as_deref() {
            _ if outline.schema_version == 1 => Err(Fault::NotAnImage(
                "it is in Docker's schema 1, which container runtimes no longer pull; build it again, or copy \
                 it with a current tool (skopeo copy --format oci)"
                    .to_owned(),
            )),
            _ if outline.schema_version != 2 => {
                Err(Fault::NotAnImage(format!("its manifest has the schema version {}", outline.schema_version)))
            }
            Some(OCI_IMAGE_INDEX_MEDIA_TYPE | IMAGE_MANIFEST_LIST_MEDIA_TYPE) => {
                serde_json::from_slice(body).map(Self::Index).map_err(garbage)
            }
            Some(OCI_IMAGE_MEDIA_TYPE | IMAGE_MANIFEST_MEDIA_TYPE) => {
                serde_json::from_slice(body).map(|image| Self::Image(Box::new(image))).map_err(garbage)
            }
            // Simple registries send these types, such as static files behind a web server.
            None | Some("" | "application/json" | "application/octet-stream" | "text/plain") if is_index => {
                serde_json::from_slice(body).map(Self::Index).map_err(garbage)
            }
            None | Some("" | "application/json" | "application/octet-stream" | "text/plain") if is_image => {
                serde_json::from_slice(body).map(|image| Self::Image(Box::new(image))).map_err(garbage)
            }
            other => Err(Fault::NotAnImage(format!(
                "its manifest has the media type {}; an image has \"{OCI_IMAGE_INDEX_MEDIA_TYPE}\" or \
                 \"{OCI_IMAGE_MEDIA_TYPE}\"",
                quoted(&clean(other.unwrap_or_default()))
            ))),
        }
    }
}

/// Returns the digest of the config, if the manifest is an image's and not a chart's or a signature's.
pub(super) fn config_of(image: &OciImageManifest) -> Result<&str, Fault> {
    match image.config.media_type.as_str() {
        IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE => Ok(&image.config.digest),
        other => Err(Fault::NotAnImage(format!(
            "it is an artifact with a config of the media type {} (a chart, a signature, a bundle?)",
            quoted(&clean(other))
        ))),
    }
}

/// Returns the entry for the platform, or else the available platforms.
pub(super) fn entry<'a>(
    index: &'a OciImageIndex,
    platform: &Platform,
) -> Result<&'a ImageIndexEntry, Vec<String>> {
    let named = || index.manifests.iter().filter_map(|entry| Some((entry, entry.platform.as_ref()?)));
    let fits = named()
        .filter(|(_, p)| platform.is(&p.os.to_string(), &p.architecture.to_string()))
        // Plain amd64 runs on every node, amd64/v3 does not. Every arm64 is v8.
        .min_by_key(|(_, p)| p.variant.as_deref().is_some_and(|variant| variant != "v8"));
    if let Some((entry, _)) = fits {
        return Ok(entry);
    }
    if let ([only], None) = (index.manifests.as_slice(), named().next()) {
        // The entry names no platform, but the config does.
        return Ok(only);
    }
    let mut available: Vec<String> = named()
        .map(|(_, p)| match &p.variant {
            Some(variant) => format!("{}/{}/{variant}", p.os, p.architecture),
            None => format!("{}/{}", p.os, p.architecture),
        })
        // Attestations are in the index as platform unknown/unknown.
        .filter(|platform| platform != "unknown/unknown")
        .map(|platform| clean(&platform))
        .collect();
    available.sort();
    available.dedup();
    available.truncate(32);
    Err(available)
}

/// The parts of an image's config that are read.
#[derive(Default, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(rename = "config")]
    runtime: Option<Runtime>,
}

#[derive(Deserialize)]
struct Runtime {
    #[serde(rename = "User")]
    user: Option<String>,
}

impl Config {
    /// Returns none if it is no config. The container runtime will then report it.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    pub(super) fn user(&self) -> ImageUser {
        let user = self.runtime.as_ref().and_then(|runtime| runtime.user.as_deref());
        ImageUser::parse(user.unwrap_or_default())
    }

    /// Returns the platform that the image was built for, if it is another one. Images made by hand often
    /// name none.
    pub(super) fn other_platform(&self, platform: &Platform) -> Option<String> {
        let silent = self.os.is_empty() || self.architecture.is_empty();
        (!silent && !platform.is(&self.os, &self.architecture))
            .then(|| clean(&format!("{}/{}", self.os, self.architecture)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[(&str, &str, Option<&str>)]) -> OciImageIndex {
        let entry = |(n, (os, architecture, variant)): (usize, &(&str, &str, Option<&str>))| {
            serde_json::json!({"mediaType": OCI_IMAGE_MEDIA_TYPE, "digest": format!("{n}"), "size": 1,
                "platform": {"os": os, "architecture": architecture, "variant": variant}})
        };
        let manifests: Vec<_> = platforms.iter().enumerate().map(entry).collect();
        serde_json::from_value(serde_json::json!({"schemaVersion": 2, "manifests": manifests})).unwrap()
    }

    #[test]
    fn chooses_what_every_node_of_the_platform_runs() {
        let amd64 = Platform::linux("amd64");
        let digest =
            |platforms: &[_], platform: &_| entry(&index(platforms), platform).map(|e| e.digest.clone());
        let attested =
            [("unknown", "unknown", None), ("linux", "arm64", Some("v8")), ("linux", "amd64", None)];
        assert_eq!(digest(&attested, &amd64).unwrap(), "2");
        assert_eq!(digest(&attested, &Platform::linux("arm64")).unwrap(), "1");
        assert_eq!(digest(&[("linux", "amd64", Some("v3")), ("linux", "amd64", None)], &amd64).unwrap(), "1");
        assert_eq!(digest(&[("linux", "amd64", Some("v2"))], &amd64).unwrap(), "0");
        assert_eq!(
            digest(&attested, &Platform::linux("s390x")).unwrap_err(),
            ["linux/amd64", "linux/arm64/v8"]
        );
        assert_eq!(digest(&[("windows", "amd64", None)], &amd64).unwrap_err(), ["windows/amd64"]);
        assert!(digest(&[], &amd64).unwrap_err().is_empty());
    }

    #[test]
    fn tells_images_from_the_rest() {
        let fault =
            |content_type: Option<&str>, body: &str| match Manifest::parse(content_type, body.as_bytes()) {
                Err(Fault::Garbage(what)) => format!("garbage: {what}"),
                Err(Fault::NotAnImage(what)) => what,
                Ok(Manifest::Index(_)) => "index".to_owned(),
                Ok(Manifest::Image(_)) => "image".to_owned(),
            };
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        assert_eq!(fault(None, index), "index");
        assert_eq!(fault(Some("application/vnd.oci.image.index.v1+json; charset=utf-8"), index), "index");
        assert!(fault(Some(OCI_IMAGE_MEDIA_TYPE), index).starts_with("garbage"));
        assert!(fault(Some("application/vnd.example"), index).contains("vnd.example"));
        assert!(fault(None, r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#).contains("at once"));
        assert!(fault(None, r#"{"schemaVersion":1,"fsLayers":[]}"#).contains("schema 1"));
        assert!(fault(None, r#"{"schemaVersion":3,"manifests":[]}"#).contains("version 3"));
        assert!(fault(None, r#"{"schemaVersion":2}"#).contains("media type"));
        for garbage in ["", "null", "[]", "<html>", r#"{"schemaVersion":"2"}"#, "\u{0}"] {
            assert!(
                fault(Some("text/html"), garbage).starts_with("garbage: content of text/html"),
                "{garbage}"
            );
        }
    }
}
