//! Words a registry's error for a package. The other texts are about images.

use super::error::ResolveError;

impl ResolveError {
    /// Returns the error in words for the author of a package's reference.
    #[must_use]
    pub fn about_package(&self) -> String {
        match self {
            Self::NotFound { image, registry, asked, words } => format!(
                "package {image} does not exist: registry {registry}, asked {asked}, says {words}. Check the \
                 name and the version, and that the package was pushed (some registries answer so for what they \
                 do not show)"
            ),
            Self::Denied { image, registry, asked, words, without_tag: _ } => format!(
                "registry {registry}, asked {asked}, does not show package {image}: it says {words}. Check the \
                 name (many registries answer so for what does not exist) and the right to pull it"
            ),
            Self::Invalid { image, registry, what, mismatch: _ } => format!(
                "registry {registry} answers rubbish for package {image}: {what}. Check that a registry answers \
                 under this name, and no proxy, login page or other service before it"
            ),
            Self::NotAnImage { image, what } => {
                format!("{image} is no package that can be laid into a folder: {what}")
            }
            Self::Unreachable { .. }
            | Self::RateLimited { .. }
            | Self::Failing { .. }
            | Self::NoPlatform { .. }
            | Self::NotAPackage { .. } => self.to_string(),
        }
    }
}
