//! The cluster of `make cluster-up`, entered: its network, its certificates, its API server.

use std::{fs::File, path::PathBuf, sync::Arc};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use nix::sched::{CloneFlags, setns};

/// As tests/cluster/settings.sh has it.
pub(super) const ADDRESS: &str = "10.77.0.2";
/// Its API server's address.
const PORT: u16 = 6443;

/// A running cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    state: PathBuf,
    sandbox: u32,
    network: Arc<File>,
}

impl Cluster {
    /// The one that `LONGSHORE_STATE` names, or the default one.
    pub(crate) fn running() -> Self {
        let named = std::env::var_os("LONGSHORE_STATE").filter(|state| !state.is_empty());
        let state = PathBuf::from(named.unwrap_or_else(|| "/var/lib/longshore-cluster".into()));
        let process = state.join("run/sandbox.process");
        let network = std::fs::read_to_string(&process).and_then(|text| {
            let pid = text.split_whitespace().next().unwrap_or_default();
            let pid: u32 = pid.parse().map_err(std::io::Error::other)?;
            Ok((pid, File::open(format!("/proc/{pid}/ns/net"))?))
        });
        match network {
            Ok((sandbox, network)) => Self { state, sandbox, network: Arc::new(network) },
            Err(error) => panic!(
                "a fake node runs in the cluster of `make cluster-up`, as root, and {} leads to none ({error})",
                process.display()
            ),
        }
    }

    /// The process that all of the cluster's are below.
    pub(crate) fn sandbox(&self) -> u32 {
        self.sandbox
    }

    /// Its node's address.
    pub(crate) const fn address() -> &'static str {
        ADDRESS
    }

    /// A file of the cluster's certificates.
    pub(super) fn certificate(&self, name: &str) -> PathBuf {
        self.state.join("certificates").join(name)
    }

    /// Takes the calling thread, and what it starts from now on, into the cluster's network.
    pub(crate) fn enter(&self) {
        setns(&*self.network, CloneFlags::CLONE_NEWNET).expect("entering the cluster's network, as root");
    }

    /// A runtime whose threads are all in the cluster's network; so is the calling thread then.
    pub(crate) fn runtime(&self) -> tokio::runtime::Runtime {
        self.enter();
        let cluster = self.clone();
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            // One for each running container.
            .max_blocking_threads(4096)
            .on_thread_start(move || cluster.enter())
            .enable_all()
            .build()
            .expect("a runtime")
    }

    /// An administrator's, past the way in from outside, which costs a process a connection.
    pub(crate) fn kubeconfig(&self) -> Kubeconfig {
        self.kubeconfig_at(PORT)
    }

    fn kubeconfig_at(&self, port: u16) -> Kubeconfig {
        let mut kubeconfig = Kubeconfig::read_from(self.state.join("kubeconfig")).expect("the kubeconfig");
        for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            cluster.server = Some(format!("https://{ADDRESS}:{port}"));
        }
        kubeconfig
    }

    /// With an administrator's rights.
    pub(crate) async fn client(&self) -> Client {
        self.client_at(PORT).await
    }

    /// The same, of an API server that listens there.
    pub(crate) async fn client_at(&self, port: u16) -> Client {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(self.kubeconfig_at(port), &options).await;
        Client::try_from(config.expect("the kubeconfig")).expect("a client")
    }
}
