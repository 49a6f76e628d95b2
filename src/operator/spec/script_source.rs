//! The script that a `ConfigMap` holds.

use k8s_openapi::api::core::v1::ConfigMap;

use crate::record::sha256_hex;

/// SHA-256 of the script under this key, as text or as bytes.
#[must_use]
pub(crate) fn script_sha256(map: &ConfigMap, key: &str) -> Option<String> {
    let text = map.data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
    let binary = || map.binary_data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
    text.or_else(binary).map(sha256_hex)
}
