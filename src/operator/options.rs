//! The operator's flags; each can be given as an environment variable as well.

use std::{net::SocketAddr, sync::Arc};

use clap::{Parser, ValueEnum};

use super::pod::attempt::{Delivery, FetchDefaults, PodDefaults};
use crate::record::quoted;

/// How the runner gets into pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliveryOption {
    /// By image volume where every Linux node has it, else by init container.
    Auto,
    /// By image volume.
    ImageVolume,
    /// By init container.
    InitContainer,
}

impl DeliveryOption {
    /// What the flag says, where it says it.
    #[must_use]
    pub const fn fixed(self) -> Option<Delivery> {
        match self {
            Self::Auto => None,
            Self::ImageVolume => Some(Delivery::ImageVolume),
            Self::InitContainer => Some(Delivery::InitContainer),
        }
    }
}

/// Whether the `use` policy must stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UsePolicyOption {
    /// Where it does not, nothing that names anything starts.
    Enforced,
    /// Something else keeps people from naming what they may not use, or nobody needs to be kept.
    Off,
}

/// How the operator writes its own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Flags of `longshore run`.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// Image of the runner, which is mounted into or copied to every action's pod.
    #[arg(long, env = "LONGSHORE_RUNNER_IMAGE")]
    pub runner_image: String,

    /// When nodes pull the runner's image.
    #[arg(long, env = "LONGSHORE_RUNNER_PULL_POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub runner_pull_policy: String,

    /// How the runner gets into pods.
    #[arg(long, env = "LONGSHORE_RUNNER_DELIVERY", value_enum, default_value = "auto")]
    pub runner_delivery: DeliveryOption,

    /// Architecture that the runner's image is built for; actions run on nodes of it.
    #[arg(long, env = "LONGSHORE_ARCHITECTURE", default_value = "amd64")]
    pub architecture: String,

    /// Size limit of each of a script's folders (work, home, temporary).
    #[arg(long, env = "LONGSHORE_SCRATCH_LIMIT", default_value = "2Gi")]
    pub scratch_limit: String,

    /// How much a package may take that nodes do not mount, such as 512Mi: packed, and unpacked.
    #[arg(long, env = "LONGSHORE_PACKAGE_LIMIT", default_value = "512Mi", value_parser = bytes)]
    pub package_limit: u64,

    /// How many files, folders and links such a package may have.
    #[arg(long, env = "LONGSHORE_PACKAGE_MAX_ENTRIES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub package_max_entries: u32,

    /// Registry (host or host:port) to speak plain HTTP with; may be given several times.
    #[arg(long = "plain-http-registry", env = "LONGSHORE_PLAIN_HTTP_REGISTRIES", value_delimiter = ',')]
    pub plain_http_registries: Vec<String>,

    /// File with certificates (PEM) of authorities that registries may have, beside Mozilla's.
    #[arg(long, env = "LONGSHORE_REGISTRY_CA_FILE")]
    pub registry_ca_file: Option<std::path::PathBuf>,

    /// File of the form of a Docker config.json with credentials for registries, for all namespaces.
    #[arg(long, env = "LONGSHORE_REGISTRY_CREDENTIALS_FILE")]
    pub registry_credentials_file: Option<std::path::PathBuf>,

    /// Whether nothing that names a service account, a Secret or the like may start while the
    /// admission policy that guards those names is missing or altered.
    #[arg(long, env = "LONGSHORE_USE_POLICY", value_enum, default_value = "enforced")]
    pub use_policy: UsePolicyOption,

    /// Namespace whose actions are run; may be given several times. All namespaces where none is.
    #[arg(long = "watch-namespace", env = "LONGSHORE_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// Base URL of an OTLP receiver (HTTP) that gets a trace of each run, such as
    /// `http://collector.monitoring:4318`; none is sent without it.
    #[arg(long, env = "LONGSHORE_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,

    /// Where /livez, /readyz and /metrics are served.
    #[arg(long, env = "LONGSHORE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Namespace of the Lease that says who leads.
    #[arg(long, env = "LONGSHORE_NAMESPACE", default_value = "longshore-system")]
    pub namespace: String,

    /// Name of this instance, such as its pod's name.
    #[arg(long, env = "LONGSHORE_IDENTITY", default_value = "longshore")]
    pub identity: String,

    /// How many actions are looked at at the same time.
    #[arg(long, env = "LONGSHORE_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Format of the operator's own log.
    #[arg(long, env = "LONGSHORE_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// What is logged, as tracing-subscriber's `EnvFilter` reads it.
    #[arg(long, env = "LONGSHORE_LOG", default_value = "info,kube_runtime=warn")]
    pub log: String,
}

impl Options {
    /// What is the same for all pods, with the way that the runner takes now.
    #[must_use]
    pub fn pod_defaults(&self, delivery: Delivery, fetch: &Arc<FetchDefaults>) -> PodDefaults {
        PodDefaults {
            runner_image: self.runner_image.clone(),
            runner_pull_policy: self.runner_pull_policy.clone(),
            delivery,
            architecture: self.architecture.clone(),
            scratch_limit: self.scratch_limit.clone(),
            fetch: Arc::clone(fetch),
        }
    }
}

/// A whole number of bytes, or of Ki, Mi, Gi or Ti.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| {
            format!("{} is no size: write a whole number with Ki, Mi or Gi, for example 512Mi", quoted(text))
        })
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes() {
        for (text, expected) in [("1", 1), ("2Ki", 2048), ("512Mi", 512 << 20), ("1Gi", 1 << 30)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for bad in ["", "0", "Mi", "-1", "1.5Gi", "1M", "99999999999Gi", "1 Mi"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
