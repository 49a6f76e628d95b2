//! Settings from the environment.

use std::str::FromStr;

use crate::Result;

pub(crate) fn variable(name: &str) -> Result<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set: use make bench-logs").into())
}

/// A number, or `default`.
pub(crate) fn setting<T: FromStr>(name: &str, default: T) -> Result<T> {
    let Some(text) = std::env::var(name).ok().filter(|text| !text.is_empty()) else { return Ok(default) };
    text.parse().map_err(|_| format!("{name}={text} cannot be read").into())
}
