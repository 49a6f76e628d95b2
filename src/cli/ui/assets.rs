//! What the pages are made of beside their markup: styles and scripts, all of them in the program.

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::header::CONTENT_TYPE;

use super::state::Failure;
use crate::cli::error::CliError;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Each with its name and type.
const ASSETS: [(&str, &str, &str); 5] = [
    ("page.css", "text/css; charset=utf-8", include_str!("assets/page.css")),
    ("page.js", SCRIPT, include_str!("assets/page.js")),
    ("log.js", SCRIPT, include_str!("assets/log.js")),
    ("colours.js", SCRIPT, include_str!("assets/colours.js")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// One of them.
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Failure> {
    let found = ASSETS.iter().find(|(of, ..)| *of == name);
    let (_, kind, text) =
        found.ok_or_else(|| CliError::NotFound("there is no such part of a page".to_owned()))?;
    Ok(([(CONTENT_TYPE, *kind)], *text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_assets_together_are_small_and_write_no_markup() {
        let bytes: usize = ASSETS.iter().map(|(_, _, text)| text.len()).sum();
        assert!(bytes < 200_000, "{bytes}");
        for (name, _, text) in ASSETS.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            for forbidden in ["innerHTML", "outerHTML =", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!text.contains(forbidden), "{name} has {forbidden}");
            }
        }
    }
}
