//! The connection to the API server, by kubectl's own flags.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use jiff::SignedDuration;
use kube::{
    Client, Config,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use secrecy::SecretString;

use super::error::{CliError, chain};

/// The writer's name, as the API server records it. Flux removes fields of managers whose names begin with `kubectl`.
pub const FIELD_MANAGER: &str = "longshore-cli";

/// Kubectl's flags for the connection. They mean what they mean for kubectl.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The kubeconfig file to use. Default: $KUBECONFIG, or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context to use.
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The kubeconfig's cluster to use.
    #[arg(long, global = true, value_name = "NAME")]
    cluster: Option<String>,
    /// The kubeconfig's user to use.
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// The namespace. Default: the context's.
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// Act as this user.
    #[arg(long = "as", global = true, value_name = "USER")]
    as_user: Option<String>,
    /// Act as a member of this group, with --as. Repeat it for several groups.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    as_groups: Vec<String>,
    /// The longest time to wait for the server: seconds, or a time such as 30s or 2m. 0 waits without end.
    #[arg(long, global = true, value_name = "TIME")]
    request_timeout: Option<Timeout>,
    /// The address of the API server.
    #[arg(short, long, global = true, value_name = "URL")]
    server: Option<String>,
    /// The bearer token to use.
    #[arg(long, global = true, value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Trust any certificate of the server. The connection is then not secure.
    #[arg(long, global = true)]
    insecure_skip_tls_verify: bool,
}

/// A connection, and where to look.
#[derive(Clone)]
pub struct Session {
    /// The client.
    pub client: Client,
    /// The namespace that the flags or the context name.
    pub namespace: String,
    /// The address of the API server, for messages.
    pub server: String,
}

impl Connection {
    /// Connects. Nothing is sent yet.
    ///
    /// # Errors
    /// The configuration is missing or cannot be used.
    pub async fn session(&self) -> Result<Session, CliError> {
        let config = self.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config)?;
        Ok(Session { client, namespace, server: server.trim_end_matches('/').to_owned() })
    }

    async fn config(&self) -> Result<Config, CliError> {
        let mut config = self.base().await?;
        if let Some(server) = &self.server {
            config.cluster_url = server.parse().map_err(|error| {
                CliError::Usage(format!("--server {server}: {error}. Write https://HOST:PORT"))
            })?;
        }
        if let Some(token) = &self.token {
            config.auth_info.token = Some(SecretString::from(token.clone()));
            config.auth_info.token_file = None;
            config.auth_info.exec = None;
        }
        if self.insecure_skip_tls_verify {
            config.accept_invalid_certs = true;
        }
        self.impersonate(&mut config)?;
        if let Some(Timeout(limit)) = self.request_timeout {
            config.connect_timeout = limit;
            config.read_timeout = limit;
            config.write_timeout = limit;
        }
        Ok(config)
    }

    fn impersonate(&self, config: &mut Config) -> Result<(), CliError> {
        if let Some(user) = &self.as_user {
            config.auth_info.impersonate = Some(user.clone());
        }
        if !self.as_groups.is_empty() {
            if config.auth_info.impersonate.is_none() {
                return Err(CliError::Usage(
                    "--as-group needs --as: name the user who is in the group".to_owned(),
                ));
            }
            config.auth_info.impersonate_groups = Some(self.as_groups.clone());
        }
        Ok(())
    }

    /// The configuration before the flags that change single values.
    async fn base(&self) -> Result<Config, CliError> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let chosen = options.context.is_some() || options.cluster.is_some() || options.user.is_some();
        let found = match &self.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file)?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(CliError::from)
            }
            None if chosen => Config::from_kubeconfig(&options).await.map_err(CliError::from),
            None => Config::infer().await.map_err(CliError::from),
        };
        match (&self.server, found) {
            // Kubectl, too, needs no kubeconfig if it is told all that matters.
            (Some(server), Err(_)) if self.kubeconfig.is_none() && !chosen => Ok(Config::new(
                server.parse().map_err(|error| CliError::Usage(format!("--server {server}: {error}")))?,
            )),
            (_, found) => found,
        }
    }
}

impl From<KubeconfigError> for CliError {
    fn from(error: KubeconfigError) -> Self {
        let next = match &error {
            KubeconfigError::CurrentContextNotSet => {
                "choose one: kubectl config use-context NAME, or --context"
            }
            KubeconfigError::LoadContext(_) => "kubectl config get-contexts lists the contexts",
            KubeconfigError::LoadClusterOfContext(_) => "kubectl config get-clusters lists the clusters",
            _ => "kubectl config view shows what is configured",
        };
        Self::Unconfigured(format!("{}\n{next}", chain(&error)))
    }
}

impl From<InferConfigError> for CliError {
    fn from(error: InferConfigError) -> Self {
        match std::error::Error::source(&error).and_then(|source| source.downcast_ref::<KubeconfigError>()) {
            Some(KubeconfigError::ReadConfig(cause, file)) => Self::Unconfigured(format!(
                "cannot read the kubeconfig {}: {cause}\nname another one with --kubeconfig or $KUBECONFIG",
                file.display()
            )),
            _ => {
                Self::Unconfigured(format!("{}\nkubectl config view shows what is configured", chain(&error)))
            }
        }
    }
}

/// How long to wait. `None` is without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeout(pub(super) Option<Duration>);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write seconds, such as 30, or a time such as 500ms, 30s or 2m".to_owned();
        let limit = if let Ok(seconds) = text.parse::<u64>() {
            Duration::from_secs(seconds)
        } else {
            let time: SignedDuration = text.parse().map_err(|_| wrong())?;
            Duration::try_from(time).map_err(|_| wrong())?
        };
        Ok(Self((!limit.is_zero()).then_some(limit)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        connection: Connection,
    }

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u, namespace: shop}}
- {name: two, context: {cluster: d, user: u}}
clusters:
- {name: c, cluster: {server: 'https://c.example'}}
- {name: d, cluster: {server: 'https://d.example'}}
users:
- {name: u, user: {token: t}}
";

    async fn config(flags: &[&str]) -> Result<(Config, String), CliError> {
        let folder = std::env::temp_dir().join(format!("longshore-kubeconfig-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("config");
        if !file.exists() {
            std::fs::write(&file, KUBECONFIG).unwrap();
        }
        let file = file.display().to_string();
        let Alone { connection } = Alone::parse_from(["x", "--kubeconfig", &file].iter().chain(flags));
        let config = connection.config().await?;
        let namespace = connection.namespace.unwrap_or_else(|| config.default_namespace.clone());
        Ok((config, namespace))
    }

    #[tokio::test]
    async fn flags_choose_as_they_do_for_kubectl() {
        let (found, namespace) = config(&[]).await.unwrap();
        assert_eq!((found.cluster_url.host(), namespace.as_str()), (Some("c.example"), "shop"));
        let (found, namespace) = config(&["--context", "two", "-n", "other"]).await.unwrap();
        assert_eq!((found.cluster_url.host(), namespace.as_str()), (Some("d.example"), "other"));
        let (found, _) = config(&["--cluster", "d", "--server", "https://e.example"]).await.unwrap();
        assert_eq!(found.cluster_url.host(), Some("e.example"));
        let flags = ["--as", "alice", "--as-group", "a", "--as-group", "b", "--insecure-skip-tls-verify"];
        let (found, _) = config(&flags).await.unwrap();
        assert_eq!(found.auth_info.impersonate.as_deref(), Some("alice"));
        assert_eq!(found.auth_info.impersonate_groups, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert!(found.accept_invalid_certs);
        let (found, _) = config(&["--request-timeout", "1m30s"]).await.unwrap();
        assert_eq!(found.read_timeout, Some(Duration::from_secs(90)));
    }

    #[tokio::test]
    async fn what_is_wrong_in_a_configuration_is_said() {
        for (flags, said) in [
            (&["--context", "three"][..], "kubectl config get-contexts"),
            (&["--cluster", "three"], "kubectl config get-clusters"),
            (&["--as-group", "a"], "--as-group needs --as"),
            (&["--server", "https://a b"], "Write https://HOST:PORT"),
        ] {
            let error = config(flags).await.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_timeout_is_seconds_or_a_time() {
        for (text, seconds) in
            [("30", Some(30)), ("2m", Some(120)), ("0", None), ("1h", Some(3600)), ("0s", None)]
        {
            assert_eq!(text.parse::<Timeout>().unwrap(), Timeout(seconds.map(Duration::from_secs)), "{text}");
        }
        for text in ["", "-1", "-1s", "soon"] {
            assert!(text.parse::<Timeout>().is_err(), "{text}");
        }
    }
}
