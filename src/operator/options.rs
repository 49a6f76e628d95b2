//! The operator's flags. Each can also be given as an environment variable.

pub mod archive;
mod units;

use std::{net::SocketAddr, sync::Arc};

use clap::{Parser, ValueEnum};

use self::{
    archive::{ArchiveOptions, RetentionOptions},
    units::bytes,
};
use super::pod::attempt::{Delivery, FetchDefaults, PodDefaults};

/// How the runner gets into pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliveryOption {
    /// By image volume if every Linux node has them, else by init container.
    Auto,
    /// By image volume.
    ImageVolume,
    /// By init container.
    InitContainer,
}

impl DeliveryOption {
    /// The delivery that the flag demands. `None` for `auto`.
    #[must_use]
    pub const fn fixed(self) -> Option<Delivery> {
        match self {
            Self::Auto => None,
            Self::ImageVolume => Some(Delivery::ImageVolume),
            Self::InitContainer => Some(Delivery::InitContainer),
        }
    }
}

/// Whether the policy on naming things must be in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UsePolicyOption {
    /// No run that names anything starts while the policy is missing or altered.
    Enforced,
    /// Something else keeps people from naming what they may not use, or no such check is needed.
    Off,
}

/// Whether admission policies record users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RequesterPolicyOption {
    /// Nobody but the API server can write the annotations that name users.
    Enforced,
    /// Anybody who may change an action can write them, so they are ignored.
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
    /// Image of the runner. It is mounted into every action's pod, or copied to it.
    #[arg(long, env = "LONGSHORE_RUNNER_IMAGE")]
    pub runner_image: String,

    /// When nodes pull the runner's image.
    #[arg(long, env = "LONGSHORE_RUNNER_PULL_POLICY", default_value = "IfNotPresent", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub runner_pull_policy: String,

    /// How the runner gets into pods.
    #[arg(long, env = "LONGSHORE_RUNNER_DELIVERY", value_enum, default_value = "auto")]
    pub runner_delivery: DeliveryOption,

    /// Architecture of the runner's image. Actions run on nodes of this architecture.
    #[arg(long, env = "LONGSHORE_ARCHITECTURE", default_value = "amd64")]
    pub architecture: String,

    /// Size limit of each of a script's folders (work, home, temporary).
    #[arg(long, env = "LONGSHORE_SCRATCH_LIMIT", default_value = "2Gi")]
    pub scratch_limit: String,

    /// The size at which nodes rotate a container's log: the kubelet's containerLogMaxSize, such as 10Mi. If
    /// nodes differ, the smallest one.
    #[arg(long, env = "LONGSHORE_CONTAINER_LOG_MAX_SIZE", default_value = "10Mi", value_parser = bytes)]
    pub container_log_max_size: u64,

    /// Size limit of a package that nodes do not mount, packed and unpacked, such as 512Mi.
    #[arg(long, env = "LONGSHORE_PACKAGE_LIMIT", default_value = "512Mi", value_parser = bytes)]
    pub package_limit: u64,

    /// How many files, folders and links such a package may have.
    #[arg(long, env = "LONGSHORE_PACKAGE_MAX_ENTRIES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub package_max_entries: u32,

    /// Registry (host or host:port) to reach by plain HTTP. May be given several times.
    #[arg(long = "plain-http-registry", env = "LONGSHORE_PLAIN_HTTP_REGISTRIES", value_delimiter = ',')]
    pub plain_http_registries: Vec<String>,

    /// File with certificates (PEM) of authorities that registries may have, beside Mozilla's.
    #[arg(long, env = "LONGSHORE_REGISTRY_CA_FILE")]
    pub registry_ca_file: Option<std::path::PathBuf>,

    /// File in the form of a Docker config.json, with registry credentials for all namespaces.
    #[arg(long, env = "LONGSHORE_REGISTRY_CREDENTIALS_FILE")]
    pub registry_credentials_file: Option<std::path::PathBuf>,

    /// Whether runs that name service accounts, Secrets and the like wait while the admission policy on them
    /// is missing or altered.
    #[arg(long, env = "LONGSHORE_USE_POLICY", value_enum, default_value = "enforced")]
    pub use_policy: UsePolicyOption,

    /// Whether admission policies record the users who ask for something in annotations of the action. If not,
    /// the operator ignores these annotations.
    #[arg(long, env = "LONGSHORE_REQUESTER_POLICY", value_enum, default_value = "off")]
    pub requester_policy: RequesterPolicyOption,

    /// Namespace whose actions are run. May be given several times. Without it, all namespaces.
    #[arg(long = "watch-namespace", env = "LONGSHORE_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,

    /// This installation has a log server (`longshore serve-logs`). While the server does not answer, the
    /// operator removes its `APIService`.
    #[arg(long, env = "LONGSHORE_LOG_API")]
    pub log_api: bool,

    /// The place of the archive.
    #[command(flatten)]
    pub archive: ArchiveOptions,

    /// How long they are kept there.
    #[command(flatten)]
    pub retention: RetentionOptions,

    /// Base URL of an OTLP receiver (HTTP) that gets a trace of each run, such as
    /// `http://collector.monitoring:4318`. Without it, no trace is sent.
    #[arg(long, env = "LONGSHORE_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,

    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "LONGSHORE_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Namespace of the Lease for leader election.
    #[arg(long, env = "LONGSHORE_NAMESPACE", default_value = "longshore-system")]
    pub namespace: String,

    /// Name of this instance, such as its pod's name.
    #[arg(long, env = "LONGSHORE_IDENTITY", default_value = "longshore")]
    pub identity: String,

    /// How many looks at actions may be under way at the same time.
    #[arg(long, env = "LONGSHORE_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Format of the operator's own log.
    #[arg(long, env = "LONGSHORE_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Filter of the log, in the form of tracing-subscriber's `EnvFilter`.
    #[arg(long, env = "LONGSHORE_LOG", default_value = "info,kube_runtime=warn")]
    pub log: String,
}

impl Options {
    /// The defaults of all pods, with the current delivery of the runner.
    #[must_use]
    pub fn pod_defaults(&self, delivery: Delivery, fetch: &Arc<FetchDefaults>) -> PodDefaults {
        PodDefaults {
            runner_image: self.runner_image.clone(),
            runner_pull_policy: self.runner_pull_policy.clone(),
            delivery,
            architecture: self.architecture.clone(),
            scratch_limit: self.scratch_limit.clone(),
            log_rotation_bytes: self.container_log_max_size,
            fetch: Arc::clone(fetch),
        }
    }
}
