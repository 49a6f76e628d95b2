//! Images as small as they get, pushed to the cluster's registry.

use longshore::record::sha256_hex;
use serde_json::{Value, json};

use super::namespace::setting;

/// The text that [`Image::static_program`] prints.
pub(crate) const PROGRAM_SAYS: &str = "no libc here";

/// An image built in memory: one file at most, on nothing.
pub(crate) struct Image {
    pub(crate) layer: Vec<u8>,
    pub(crate) config: Value,
}

impl Image {
    /// With `/program`, static, which prints a line.
    pub(crate) fn static_program() -> Self {
        Self { layer: tar(Some(("program", &elf()))), config: json!({}) }
    }

    /// Pushes it for `architecture`, and returns the name by which nodes pull it.
    pub(crate) async fn push(self, repository: &str, architecture: &str) -> String {
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256_hex(&self.layer))]},
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &self.layer)],
        })
        .to_string();
        let registry = Registry::new();
        registry.put_blob(repository, self.layer).await;
        registry.put_blob(repository, config.into_bytes()).await;
        registry.put_manifest(repository, "1", "application/vnd.oci.image.manifest.v1+json", manifest).await;
        format!("{}/{repository}:1", setting("LONGSHORE_REGISTRY"))
    }
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({
        "mediaType": media_type,
        "digest": format!("sha256:{}", sha256_hex(content)),
        "size": content.len(),
    })
}

/// The cluster's registry, as this machine reaches it.
pub(crate) struct Registry {
    pub(crate) client: reqwest::Client,
    pub(crate) base: String,
}

impl Registry {
    pub(crate) fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            client: reqwest::Client::builder().no_proxy().build().expect("an HTTP client"),
            base: format!("http://{}", setting("LONGSHORE_PUSH_REGISTRY")),
        }
    }

    pub(crate) async fn put_blob(&self, repository: &str, content: Vec<u8>) {
        let begun = self
            .client
            .post(format!("{}/v2/{repository}/blobs/uploads/", self.base))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .expect("beginning an upload");
        let location = begun.headers()["location"].to_str().expect("a location").to_owned();
        let location = if location.starts_with('/') { format!("{}{location}", self.base) } else { location };
        let joint = if location.contains('?') { '&' } else { '?' };
        let url = format!("{location}{joint}digest=sha256:{}", sha256_hex(&content));
        self.client
            .put(url)
            .header("content-type", "application/octet-stream")
            .body(content)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .expect("uploading a blob");
    }

    pub(crate) async fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, manifest: String) {
        self.client
            .put(format!("{}/v2/{repository}/manifests/{tag}", self.base))
            .header("content-type", media_type)
            .body(manifest)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .expect("uploading a manifest");
    }
}

/// An archive with one executable file at most.
pub(crate) fn tar(file: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut archive = Vec::new();
    if let Some((name, content)) = file {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000755");
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000000");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\u{0}00");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.extend([0; 1024]);
    archive
}

/// A program for Linux on amd64 that prints [`PROGRAM_SAYS`] and exits with 0: headers and eight
/// instructions.
fn elf() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let text = format!("{PROGRAM_SAYS}\n");
    let length = u8::try_from(text.len()).expect("a short text");
    let mut code = vec![
        0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
        0xbf, 1, 0, 0, 0, // mov edi, 1
        0x48, 0x8d, 0x35, 16, 0, 0, 0, // lea rsi, [rip + 16]: behind the code
        0xba, length, 0, 0, 0, // mov edx, length
        0x0f, 0x05, // syscall
        0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
        0x31, 0xff, // xor edi, edi
        0x0f, 0x05, // syscall
    ];
    code.extend(text.as_bytes());
    let size = HEADERS + code.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let half = |number: u16| number.to_le_bytes().to_vec();
    let word = |number: u32| number.to_le_bytes().to_vec();
    let long = |number: u64| number.to_le_bytes().to_vec();
    // e_type EXEC, e_machine x86-64, e_version, e_entry, e_phoff, e_shoff, e_flags
    for part in [half(2), half(62), word(1), long(BASE + HEADERS), long(64), long(0), word(0)] {
        file.extend(part);
    }
    // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
    for number in [64, 56, 1, 64, 0, 0] {
        file.extend(half(number));
    }
    // PT_LOAD, read and execute, offset, addresses, sizes, alignment
    for part in [word(1), word(5), long(0), long(BASE), long(BASE), long(size), long(size), long(0x1000)] {
        file.extend(part);
    }
    file.extend(code);
    file
}
