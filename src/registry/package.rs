//! Reads a package's manifest: whether it is an image, and what is unpacked into a folder if nodes do not
//! mount it. The manifest is read first. So a package that cannot be used or is too large is refused before
//! any of its layers is fetched.

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_DOCKER_CONFIG_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};

use super::digest;
use super::quoted::quoted;
use super::transport::clean;

#[cfg(test)]
mod tests;

/// The most layers of a package. No runtime accepts an image with more than 127.
const MAX_LAYERS: usize = 256;
/// The longest media type in a message, in characters.
const MAX_MEDIA_TYPE: usize = 255;

/// Helm's media types, as `helm push` writes them (helm.sh/helm, `pkg/registry/constants.go`).
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const CHART_PROVENANCE: &str = "application/vnd.cncf.helm.chart.provenance.v1.prov";
/// The media type of empty content (OCI image specification 1.1, "empty descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The annotation of a layer with the file's name (OCI image specification, "annotations").
const TITLE: &str = "org.opencontainers.image.title";
/// The annotation with which oras marks a packed folder (oras-go, `content/file`).
const UNPACK: &str = "io.deis.oras.content.unpack";

/// The content of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageManifest {
    /// The digest that was asked for, or that the tag names. If there is an index, this is its digest.
    pub digest: String,
    /// Whether it is an image, which nodes can mount.
    pub is_image: bool,
    /// The type of its content, as its manifest names it.
    pub media_type: String,
    /// Its layers, the lowest first, or why they cannot be unpacked into a folder. An artifact always has
    /// layers here.
    pub layers: Result<Vec<Layer>, String>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its digest.
    pub digest: String,
    /// Its size as it is fetched, in bytes.
    pub size: u64,
    /// How it is unpacked.
    pub form: Form,
}

/// How a layer is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// A Helm chart's archive: unpacked without its outermost folder.
    Chart,
    /// An archive: unpacked.
    Archive {
        /// Whether it is compressed.
        gzip: bool,
    },
    /// A file with this name.
    File(String),
}

impl PackageManifest {
    /// Reads a manifest with this digest.
    ///
    /// # Errors
    /// The fault of an artifact, in words.
    pub(super) fn read(digest: String, manifest: &OciImageManifest) -> Result<Self, String> {
        let is_image = is_image(manifest);
        let layers = layers(manifest, is_image);
        if !is_image {
            layers.as_ref().map_err(Clone::clone)?;
        }
        let named = manifest.artifact_type.as_deref().filter(|name| !name.is_empty());
        let media_type = named.unwrap_or(&manifest.config.media_type);
        let media_type = clean(media_type).chars().take(MAX_MEDIA_TYPE).collect();
        Ok(Self { digest, is_image, media_type, layers })
    }

    /// How many bytes to fetch. 0 if nothing can be fetched.
    #[must_use]
    pub fn packed_bytes(&self) -> u64 {
        self.layers.iter().flatten().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}

/// Whether runtimes take it for an image: it has an image's config, and only an image's layers.
fn is_image(manifest: &OciImageManifest) -> bool {
    let config = matches!(
        manifest.config.media_type.as_str(),
        IMAGE_CONFIG_MEDIA_TYPE | IMAGE_DOCKER_CONFIG_MEDIA_TYPE
    );
    let layer = |layer: &OciDescriptor| {
        layer.media_type.starts_with("application/vnd.oci.image.layer.")
            || layer.media_type.starts_with("application/vnd.docker.image.rootfs.")
    };
    config && manifest.artifact_type.is_none() && manifest.layers.iter().all(layer)
}

fn layers(manifest: &OciImageManifest, is_image: bool) -> Result<Vec<Layer>, String> {
    if manifest.layers.len() > MAX_LAYERS {
        return Err(format!("it has {} layers, more than {MAX_LAYERS}", manifest.layers.len()));
    }
    let mut layers = Vec::new();
    for (index, layer) in manifest.layers.iter().enumerate() {
        let fault = |what: String| format!("layer {} of {}: {what}", index + 1, manifest.layers.len());
        let Some(form) = form(layer, is_image).map_err(fault)? else { continue };
        if !digest::is_valid(&layer.digest) {
            return Err(fault(format!("its digest is {}", quoted(&clean(&layer.digest)))));
        }
        let size = u64::try_from(layer.size).map_err(|_| fault(format!("its size is {}", layer.size)))?;
        layers.push(Layer { digest: layer.digest.clone(), size, form });
    }
    if layers.is_empty() && !is_image {
        return Err("it holds no file at all".to_owned());
    }
    Ok(layers)
}

/// Returns how a layer is unpacked, or `None` if it is left out.
fn form(layer: &OciDescriptor, is_image: bool) -> Result<Option<Form>, String> {
    let annotation = |name: &str| layer.annotations.as_ref()?.get(name).map(String::as_str);
    let media_type = layer.media_type.as_str();
    match media_type {
        CHART => return Ok(Some(Form::Chart)),
        CHART_PROVENANCE => return Ok(None),
        _ => {}
    }
    // oras also gives single files the media type of an image's layer.
    if let (Some(title), false, false) = (annotation(TITLE), is_image, annotation(UNPACK) == Some("true")) {
        return Ok(Some(Form::File(title.to_owned())));
    }
    if media_type == EMPTY {
        return Ok(None);
    }
    let ends = |ends: &[&str]| ends.iter().any(|end| media_type.ends_with(end));
    if ends(&["tar+gzip", "tar.gzip", "tar+gz"]) {
        Ok(Some(Form::Archive { gzip: true }))
    } else if ends(&[".tar", "+tar", "/x-tar"]) {
        Ok(Some(Form::Archive { gzip: false }))
    } else if ends(&["zstd"]) {
        Err("it is compressed with zstd, which is not understood here: push it with gzip".to_owned())
    } else {
        Err(format!(
            "its media type {} is not that of an archive (...tar or ...tar+gzip), and no annotation {TITLE} names a file",
            quoted(&clean(media_type))
        ))
    }
}
