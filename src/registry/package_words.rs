//! What an error of a registry says of a package: the other texts speak of images.

use super::error::ResolveError;

impl ResolveError {
    /// The error, in words for whoever named a package.
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
