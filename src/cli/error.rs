//! Why a command failed.

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// There is no configuration for the API server.
    #[error("no configuration for the API server: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The configuration that the flags name cannot be used.
    #[error("no configuration for the API server: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The API server refused the request.
    #[error("{0}")]
    Kube(#[from] kube::Error),
    /// The log ended early, or cannot be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// There is nothing to show.
    #[error("{0}")]
    Nothing(String),
}
