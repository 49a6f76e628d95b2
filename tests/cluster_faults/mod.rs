//! A part of the cluster is killed while a script runs on its real node: the script has run once, and the
//! status says what came of it, or that nobody knows. All other tests would lose the API server with it.
//!
//! It needs root and the cluster of `make cluster-up`, with Longshore in it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use longshore::api::{DeploymentAction, LABEL_ACTION, Reason};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    node::Cluster,
    support::{
        action::{Action, Done, Handle},
        long_log::{assert_whole, writer},
        namespace::{Namespace, in_namespace, within},
        turns::alone,
    },
};

/// How long a part may take to be back, with all that hangs on it.
const BACK: Duration = Duration::from_mins(2);
/// The node's address, which its pods reach.
const ADDRESS: &str = "10.77.0.2";

/// What the scripts say of themselves, over a connection each: no pod can write where the tests read.
#[derive(Clone)]
struct Counter {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Counter {
    /// Listens in the cluster's network.
    fn listen() -> Self {
        let (port, listening) = std::sync::mpsc::channel();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&lines);
        std::thread::spawn(move || {
            // This thread alone goes there.
            Cluster::running().enter();
            let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
            port.send(listener.local_addr().unwrap().port()).unwrap();
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { continue };
                let mut line = String::new();
                if BufReader::new(&connection).read_line(&mut line).is_ok() {
                    told.lock().unwrap().push(line.trim().to_owned());
                    let _ = connection.write_all(b"heard\n");
                }
            }
        });
        Self { port: listening.recv().unwrap(), lines }
    }

    /// A script that counts its start, runs for some seconds, and counts its end.
    fn script(&self) -> String {
        let port = self.port;
        format!(
            "#!/usr/bin/env bash\n\
             say() {{ exec 3<>/dev/tcp/{ADDRESS}/{port}; echo \"$1 $LONGSHORE_RUN_ID $LONGSHORE_ATTEMPT\" >&3; read -r -u 3 heard; exec 3>&-; }}\n\
             say start\n\
             for i in $(seq 16); do echo line $i; sleep 0.5; done\n\
             say end\n"
        )
    }

    fn count(&self, mark: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.starts_with(mark)).count()
    }
}

fn kill_all(pids: &[u32]) {
    for pid in pids {
        // It may have ended with another one.
        let _ = kill(Pid::from_raw(i32::try_from(*pid).unwrap()), Signal::SIGKILL);
    }
}

/// Kills the component of this name.
fn kill_component(name: &str) {
    let found = Cluster::running().component(name);
    assert_eq!(found.len(), 1, "processes called {name}: {found:?}");
    kill_all(&found);
}

fn signal_component(name: &str, signal: Signal) {
    let found = Cluster::running().component(name);
    assert_eq!(found.len(), 1, "processes called {name}: {found:?}");
    kill(Pid::from_raw(i32::try_from(found[0]).unwrap()), signal).unwrap();
}

/// Kills all that runs in the pod.
fn kill_pod(pod: &Pod) {
    let uid = pod.uid().unwrap();
    let of_pod = |pid: u32| {
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        cgroup.contains(&uid) || cgroup.contains(&uid.replace('-', "_"))
    };
    let found = Cluster::running().processes(of_pod);
    assert!(!found.is_empty(), "no process of pod {uid}");
    kill_all(&found);
}

/// Creates the action. An API server that was just started refuses all of them until it knows what the
/// policies' parameters are.
async fn applied(namespace: &Namespace, action: Action) -> Handle<'_> {
    let actions: Api<DeploymentAction> = namespace.api();
    let object: DeploymentAction = serde_json::from_value(action.object("victim")).unwrap();
    within(BACK, "an action can be created", async || {
        actions.create(&PostParams::default(), &object).await.ok()
    })
    .await;
    Handle { namespace, name: "victim".into() }
}

async fn finished(namespace: &Namespace, name: &str) -> Done {
    let actions: Api<DeploymentAction> = namespace.api();
    within(BACK, "the action is finished although a part was killed", async || {
        // While the API server is away, there is no answer.
        let done = Done::of(actions.get(name).await.ok()?);
        (done.is_seen() && done.is_finished()).then_some(done)
    })
    .await
}

/// Runs a script, kills something in its midst, and compares.
async fn survives(strike: impl Fn(&Pod), certain: bool) {
    let _alone = alone().await;
    Box::pin(in_namespace(async |namespace| {
        let counter = Counter::listen();
        let action = applied(namespace, Action::script(&counter.script())).await;
        within(BACK, "the script has started", async || (counter.count("start") == 1).then_some(())).await;
        let pod = action.pod().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        strike(&pod);
        let done = finished(namespace, "victim").await;
        let ended = counter.count("end");
        eprintln!("{:?} ({:?}): {}", done.reason(), done.run().exit_code, done.message());
        match done.reason() {
            Some(Reason::Succeeded) => assert_eq!(ended, 1),
            Some(Reason::Unknown | Reason::NodeLost) if !certain => {}
            Some(Reason::ScriptKilled | Reason::ScriptFailed) if !certain => assert_eq!(ended, 0),
            other => panic!("{other:?}: {}", done.message()),
        }
        assert_eq!((counter.count("start"), done.run().attempt), (1, 1));
        let of_action = ListParams::default().labels(&format!("{LABEL_ACTION}=victim"));
        let pods: Api<Pod> = namespace.api();
        let uids: Vec<_> = pods.list(&of_action).await.unwrap().iter().filter_map(ResourceExt::uid).collect();
        assert_eq!(uids, [done.run().pod_uid.clone().unwrap()]);
        // A container that is started again would run nothing; it has its time to.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(counter.count("start"), 1);
    }))
    .await;
}

#[tokio::test]
async fn a_run_survives_its_kubelet() {
    Box::pin(survives(|_| kill_component("kubelet"), true)).await;
}

#[tokio::test]
async fn a_run_survives_containerd() {
    Box::pin(survives(|_| kill_component("containerd"), true)).await;
}

#[tokio::test]
async fn a_run_survives_the_api_server() {
    Box::pin(survives(|_| kill_component("kube-apiserver"), true)).await;
}

#[tokio::test]
async fn a_run_survives_etcd() {
    Box::pin(survives(|_| kill_component("etcd"), true)).await;
}

#[tokio::test]
async fn a_log_longer_than_its_node_keeps_survives_an_api_server_that_hangs() {
    let _alone = alone().await;
    in_namespace(async |namespace| {
        let action = applied(namespace, writer(30_000, 20)).await;
        action.under_way().await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        signal_component("kube-apiserver", Signal::SIGSTOP);
        tokio::time::sleep(Duration::from_secs(12)).await;
        signal_component("kube-apiserver", Signal::SIGCONT);
        finished(namespace, "victim").await;
        assert_whole(action.finished().await.assert_succeeded(), 600_000);
    })
    .await;
}

#[tokio::test]
async fn what_became_of_killed_processes_is_not_made_up() {
    Box::pin(survives(kill_pod, false)).await;
}

#[tokio::test]
async fn a_run_survives_all_of_the_node_s_parts_at_once() {
    let all = ["kubelet", "containerd", "kube-apiserver", "etcd"];
    Box::pin(survives(move |_| all.into_iter().for_each(kill_component), true)).await;
}
