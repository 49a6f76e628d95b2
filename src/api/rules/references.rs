//! Rules of references: images, packages, repositories.

use serde_json::{Value, json};

use super::rule::rule;

const LABEL: &str = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const COMPONENT: &str = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const TAG: &str = ":[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}";
const DIGEST: &str = "@(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})";

/// A repository with its registry, by the grammar of `distribution/reference`.
fn name() -> String {
    format!(
        r"(?:(?:{LABEL}(?:[.]{LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?(?:/{COMPONENT})+|{COMPONENT}|[a-z0-9]+(?:(?:__?|-+)[a-z0-9]+)*(?:/{COMPONENT})+)"
    )
}

/// An image reference with a tag, a digest or both: what `spec.image` must match.
#[must_use]
pub fn image_pattern() -> String {
    format!("^{}(?:{TAG}(?:{DIGEST})?|{DIGEST})$", name())
}

/// Rules of a repository.
pub(in crate::api) fn repository() -> Value {
    json!([rule(
        &format!("self.matches(r'^{}$')", name()),
        "repository is malformed: write REGISTRY/REPOSITORY in lower case, without tag and digest, for example registry.example.com/charts/orders"
    )])
}

/// Rules of `image`.
pub(in crate::api) fn image() -> Value {
    reference("image")
}

/// Rules of a reference to an image or package in the field `field`.
pub(in crate::api) fn reference(field: &str) -> Value {
    let name = name();
    json!([
        {
            "rule": format!("self.matches(r'^{name}(?:{TAG})?(?:@[^@]*)?$')"),
            "message": format!("{field} is no image reference: write REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST in lower case, for example registry.example.com/team/tools:2026.11"),
        },
        {
            "rule": format!("!self.matches(r'^{name}$')"),
            "message": format!("{field} has no tag and no digest, and would change without notice: write the version that is meant, for example tools:2026.11 or tools@sha256:..."),
        },
        {
            "rule": format!("!self.contains('@') || self.matches(r'{DIGEST}$')"),
            "message": format!("{field} has a malformed digest: write @sha256: and 64 hexadecimal digits in lower case"),
        },
    ])
}
