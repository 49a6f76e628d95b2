//! A second API server on the cluster's etcd, without watch caches. Its watches come from etcd itself, so a
//! watch from a compacted revision gets a real 410. The cluster's own server has all watches from its memory,
//! as API servers have, where a compaction of etcd is not noticed.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use kube::Client;
use tokio::time::{Instant, sleep};

use crate::node::Cluster;

const PORT: u16 = 6444;
/// Settings that the first one keeps for itself.
const ITS_OWN: [&str; 2] = ["--audit-", "--secure-port="];
/// How long it may take to be ready.
const READY: Duration = Duration::from_mins(2);

/// It ends with this.
pub(crate) struct Uncached(Child);

impl Uncached {
    /// Starts it like the cluster's own; the calling thread is in the cluster's network.
    pub(crate) async fn start(cluster: &Cluster) -> (Self, Client) {
        let found = cluster.component("kube-apiserver");
        let [own] = found[..] else { panic!("the cluster has API servers {found:?}") };
        let line = Cluster::command_line(own);
        let (program, arguments) = line.split_first().expect("its command line");
        let same = arguments.iter().filter(|one| !ITS_OWN.iter().any(|own| one.starts_with(own)));
        let child = Command::new(program)
            .args(same)
            .arg(format!("--secure-port={PORT}"))
            .arg("--watch-cache=false")
            // Else pods would be sent here.
            .arg("--endpoint-reconciler-type=none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting a second API server");
        let mut started = Self(child);
        let client = cluster.client_at(PORT).await;
        let limit = Instant::now() + READY;
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a request");
            if client.request_text(request).await.is_ok() {
                return (started, client);
            }
            let ended = started.0.try_wait().expect("looking for it");
            assert!(ended.is_none(), "the second API server has ended: {ended:?}");
            assert!(Instant::now() < limit, "the second API server is not ready");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Uncached {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
