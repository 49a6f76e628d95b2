//! Images and artifacts that only these tests push.

use longshore::record::sha256_hex;
use serde_json::{Value, json};

use crate::support::registry::{Image, Registry, descriptor, tar};

impl Image {
    /// Without any file.
    pub(crate) fn empty() -> Self {
        Self { layer: tar(None), config: json!({}) }
    }

    /// With a layer that is no archive.
    pub(crate) fn broken() -> Self {
        Self { layer: vec![b'?'; 4096], config: json!({}) }
    }

    pub(crate) fn user(mut self, user: &str) -> Self {
        self.config["User"] = user.into();
        self
    }
}

/// Pushes an artifact that is no image, and returns its digest: layers with media type, content and
/// annotations. `claimed` is the size that the manifest gives of each, where that is not their own.
pub(crate) async fn push_artifact(
    repository: &str,
    tag: &str,
    layers: &[(&str, Vec<u8>, Value)],
    claimed: Option<u64>,
) -> String {
    const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    let registry = Registry::new();
    registry.put_blob(repository, b"{}".to_vec()).await;
    let mut described = Vec::new();
    for (media_type, content, annotations) in layers {
        registry.put_blob(repository, content.clone()).await;
        let mut layer = descriptor(media_type, content);
        layer["annotations"] = annotations.clone();
        if let Some(size) = claimed {
            layer["size"] = size.into();
        }
        described.push(layer);
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.manifests",
        "config": descriptor(EMPTY, b"{}"),
        "layers": described,
    })
    .to_string();
    let digest = format!("sha256:{}", sha256_hex(manifest.as_bytes()));
    registry.put_manifest(repository, tag, MANIFEST, manifest).await;
    digest
}

impl Registry {
    /// The digest of a tag, as the registry has it.
    pub(crate) async fn digest(&self, repository: &str, tag: &str) -> String {
        let answer = self
            .client
            .head(format!("{}/v2/{repository}/manifests/{tag}", self.base))
            .header(
                "accept",
                "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json",
            )
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .expect("the registry has the tag");
        answer.headers()["docker-content-digest"].to_str().expect("a digest").to_owned()
    }
}
