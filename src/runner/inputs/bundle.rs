//! Reads the bundle and checks it against the hash in the pod's spec.

use crate::{
    record::{
        bundle::{Bundle, MAX_BYTES, Program},
        outcome::Problem,
        place,
    },
    runner::{places::Places, reach, refusal::Refusal},
};

/// Reads the bundle, if it is the one that the operator made.
pub(in crate::runner) fn read(places: &Places, sha256: Option<&str>) -> Result<Bundle, Refusal> {
    let refuse = |message: String| Refusal::new(Problem::Bundle, message);
    let Some(sha256) = sha256 else {
        return Err(refuse(format!("{} is not set", place::ENV_BUNDLE_SHA256)));
    };
    let path = places.bundle();
    let text = reach::read_mounted(&path, MAX_BYTES as u64)
        .map_err(|error| refuse(format!("the bundle cannot be read from {}: {error}", path.display())))?;
    // A bundle that is too long, or not UTF-8, does not match the hash.
    let bundle = Bundle::from_json(&String::from_utf8_lossy(&text), sha256)
        .map_err(|error| refuse(error.to_string()))?;
    if let Program::Command { argv } = &bundle.program
        && argv.is_empty()
    {
        return Err(refuse("the bundle's command is empty".to_owned()));
    }
    Ok(bundle)
}
