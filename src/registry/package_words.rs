//! Words a registry's error for a package. The other texts are about images.

use super::error::ResolveError;

impl ResolveError {
    /// Returns the error in words for the author of a package's reference.
    #[must_use]
    pub fn about_package(&self) -> String {
        match self {
            Self::NotFound { image, registry, asked, words } => format!(
                "package {image} does not exist: registry {registry}, asked {asked}, says {words}. Check the \
                 name and the version, and that the package was pushed (some registries answer like this for \
                 a private package)"
            ),
            Self::Denied { image, registry, asked, words, without_tag: _ } => format!(
                "registry {registry}, asked {asked}, does not show package {image}: it says {words}. Check the \
                 name (many registries answer like this for a package that does not exist) and the right to pull it"
            ),
            Self::Invalid { image, registry, what, mismatch: _ } => format!(
                "registry {registry} gives an invalid answer for package {image}: {what}. Check that a registry has \
                 this name, and not a proxy, a login page or another service"
            ),
            Self::NotAnImage { image, what } => {
                format!("{image} is no package that can be unpacked into a folder: {what}")
            }
            Self::Unreachable { .. }
            | Self::RateLimited { .. }
            | Self::Failing { .. }
            | Self::NoPlatform { .. }
            | Self::NotAPackage { .. } => self.to_string(),
        }
    }
}
