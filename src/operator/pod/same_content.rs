//! Whether two references name the same content.

use crate::registry::reference::digest_of;

/// Whether both references name the same content. The digest decides: a cluster that cannot reach the
/// registry has a mirror with another name.
pub(super) fn is_same_content(found: &str, wanted: &str) -> bool {
    found == wanted || digest_of(found).is_some_and(|found| digest_of(wanted) == Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_of_the_same_digest_is_the_same() {
        let (one, other) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
        let wanted = format!("registry.example.com/shop/tools@{one}");
        for found in ["mirror.local/shop/tools@", "mirror.local:5000/a/b/tools:1.0@", "tools@"] {
            assert!(is_same_content(&format!("{found}{one}"), &wanted), "{found}");
            assert!(!is_same_content(&format!("{found}{other}"), &wanted), "{found}");
        }
        for found in ["registry.example.com/shop/tools:1.0", "tools", "", "x@sha256:1", &one] {
            assert!(!is_same_content(found, &wanted), "{found}");
        }
        assert!(!is_same_content("x@latest", "y@latest"));
    }
}
