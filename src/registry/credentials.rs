//! Who asks a registry.

/// Who asks. Caches are shared by all who ask as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Nobody in particular; a token server is asked for a token without a name.
    #[default]
    Anonymous,
}
