//! A fake node: to the API server it is a kubelet, and for each pod it runs the real
//! `longshore-runner` as a process, so that thousands of runs cost little.
//!
//! Real are the `Node` and its lease, the order in which a kubelet writes a pod's status, deletion with its
//! grace period, and `activeDeadlineSeconds`. Mounted volumes have a kubelet's layout and follow annotations.
//! The runner is real, and so is the log endpoint, which the API server reaches under the certificate of the
//! cluster's own kubelet.
//!
//! Fake are these:
//! - There are no containers. The script runs on this machine, with its tools and your rights, in its own PID
//!   namespace and the cluster's network. Its "root" is a folder, and an absolute path in a script means this
//!   machine's path. Give it only scripts of your own.
//! - No image is pulled. A container that is named by digest is said to run that digest, any other
//!   one waits with `ErrImagePull`.
//! - Only the container `action` is run, and only the runner in it; others wait for ever.
//! - Its clock may be wrong on purpose, and it may leave pods beyond their deadlines alone. Its lease
//!   and its object keep the right time, or the cluster's controllers would find the node silent.
//! - Requests, limits, security contexts and probes have no effect. Secrets and `ConfigMap`s do not follow
//!   changes, a log never rotates, and there is neither `exec` nor `attach`.
//! - It writes events about failed mounts only.
//!
//! It needs root and the cluster of `make cluster-up`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "it is a part of tests")]

mod clock;
mod cluster;
mod life;
mod log;
mod process;
mod processes;
mod register;
mod serve;
mod status;
mod volumes;
mod watch;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tokio::sync::{mpsc, oneshot, watch as channel};

pub(crate) use cluster::Cluster;
pub(crate) use nix::sys::signal::Signal;

/// Taint and label of every fake node; the taint's value is the node's name.
pub(crate) const MARK: &str = "longshore.dev/fake-node";

/// A moment in a pod's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The node sees the pod for the first time.
    Bound,
    /// All is laid out; the runner is started next.
    Starting,
    /// The runner runs, and the API server was not told yet.
    Running,
    /// It has ended, and the API server was not told yet.
    Ended,
    /// The API server knows the pod's last phase.
    Reported,
}

/// A future that is awaited at each moment of each pod: the way to delay, or to break something there.
pub(crate) type Hook = Arc<dyn Fn(Moment, Arc<Pod>) -> BoxFuture<'static, ()> + Send + Sync>;

/// An order to a pod from outside.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// A signal to the container's PID 1.
    Signal(Signal),
    /// SIGKILL, of which the status gives this reason, such as `OOMKilled`.
    Kill(String),
    /// The container is started again in its old folders, whatever the restart policy
    /// (kubernetes#83705); one that runs is killed before.
    Restart,
}

/// How a node is.
#[derive(Clone)]
pub(crate) struct Options {
    /// Its name.
    pub(crate) name: String,
    /// The runner's binary.
    pub(crate) runner: PathBuf,
    /// The folder for its pods' folders; removed at the end.
    pub(crate) root: PathBuf,
    /// How many pods it says it can hold.
    pub(crate) pods: u32,
    /// A pause before the runner is started, as a pull would take.
    pub(crate) start_delay: Duration,
    /// A pause before the container's end is told.
    pub(crate) end_delay: Duration,
    /// A pause between that and the pod's last phase; a real kubelet takes about a second.
    pub(crate) phase_delay: Duration,
    /// By how many seconds its clock is ahead; behind where that is negative.
    pub(crate) clock_seconds: i64,
    /// Whether it ends pods that are past their `activeDeadlineSeconds`; a kubelet that hangs does not.
    pub(crate) keeps_deadlines: bool,
    /// Awaited at each moment of each pod.
    pub(crate) hook: Option<Hook>,
}

impl Options {
    /// Without delays and hooks.
    pub(crate) fn new(name: &str, runner: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            runner: runner.into(),
            root: std::env::temp_dir().join(format!("longshore-fake-node-{}-{name}", std::process::id())),
            pods: 20_000,
            start_delay: Duration::ZERO,
            end_delay: Duration::ZERO,
            phase_delay: Duration::ZERO,
            clock_seconds: 0,
            keeps_deadlines: true,
            hook: None,
        }
    }
}

/// A pod as the node has it.
struct Entry {
    /// As the API server told of it last; dropped when the pod is gone there.
    seen: channel::Sender<Arc<Pod>>,
    orders: mpsc::UnboundedSender<Order>,
    /// The log of the container's latest start; `None` before the first.
    log: Arc<Mutex<Option<Arc<log::Log>>>>,
}

/// The state that a node's tasks share.
struct Node {
    options: Options,
    client: Client,
    /// By UID.
    pods: Mutex<HashMap<String, Entry>>,
    processes: process::Processes,
    clock: clock::Clock,
    /// Whether the network is there.
    online: channel::Sender<bool>,
}

impl Node {
    /// Waits while the node is cut off.
    async fn online(&self) {
        // The sender is ours.
        let _ = self.online.subscribe().wait_for(|online| *online).await;
    }

    /// Waits until the node is cut off.
    async fn offline(&self) {
        let _ = self.online.subscribe().wait_for(|online| !online).await;
    }

    async fn pass(&self, moment: Moment, pod: &Arc<Pod>) {
        if let Some(hook) = &self.options.hook {
            hook(moment, Arc::clone(pod)).await;
        }
    }
}

/// A running node. Dropped, it ends its processes and takes itself out of the cluster.
pub(crate) struct FakeNode {
    node: Arc<Node>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeNode {
    /// Registers, and returns once pods can come.
    pub(crate) async fn start(options: Options) -> Self {
        let cluster = Cluster::running();
        let (stop, stopped) = oneshot::channel();
        let (ready, begun) = oneshot::channel();
        // Threads of its own, all in the cluster's network, and with them all that they start.
        let thread = std::thread::Builder::new()
            .name(options.name.clone())
            .spawn(move || cluster.runtime().block_on(run(cluster.clone(), options, ready, stopped)))
            .expect("a thread");
        let node = begun.await.expect("the fake node did not start; its thread said why");
        Self { node, stop: Some(stop), thread: Some(thread) }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.node.options.name
    }

    /// Does something to the pod with this UID. Says whether the node has it.
    pub(crate) fn order(&self, pod_uid: &str, order: Order) -> bool {
        let pods = self.node.pods.lock().unwrap();
        pods.get(pod_uid).is_some_and(|entry| entry.orders.send(order).is_ok())
    }

    /// Cuts the node off: it renews nothing, sees nothing, tells nothing and serves no log, and its
    /// processes go on.
    pub(crate) fn cut_off(&self) {
        self.node.online.send_replace(false);
    }

    /// Ends that.
    pub(crate) fn reconnect(&self) {
        self.node.online.send_replace(true);
    }

    /// Sets its clock anew, this many seconds ahead.
    pub(crate) fn set_clock(&self, seconds: i64) {
        self.node.clock.set(seconds);
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn run(
    cluster: Cluster,
    options: Options,
    ready: oneshot::Sender<Arc<Node>>,
    stopped: oneshot::Receiver<()>,
) {
    let client = cluster.client().await;
    std::fs::create_dir_all(&options.root).expect("a folder for pods");
    let clock = clock::Clock::ahead_by(options.clock_seconds);
    let node = Arc::new(Node {
        options,
        client,
        pods: Mutex::default(),
        processes: process::Processes::default(),
        clock,
        online: channel::Sender::new(true),
    });
    let port = serve::start(&cluster, Arc::clone(&node)).await;
    register::register(&node, port).await;
    let renewing = tokio::spawn(register::renew(Arc::clone(&node)));
    let watching = tokio::spawn(watch::watch(Arc::clone(&node)));
    let _ = ready.send(Arc::clone(&node));
    // Dropped or sent, it is the end.
    let _ = stopped.await;
    renewing.abort();
    watching.abort();
    // Each pod's task ends its processes when its entry goes.
    node.pods.lock().unwrap().clear();
    register::unregister(&node).await;
    process::end_all(&node.processes).await;
    let _ = std::fs::remove_dir_all(&node.options.root);
}
