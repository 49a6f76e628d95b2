//! The compare-and-swap of a lock's Lease, against a server that keeps one.

use std::sync::{Arc, Mutex};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json, to_value};

use super::*;
use crate::{
    api::status::{LockStatus, RunStatus},
    operator::testing::{
        objects::{UID, action},
        server::{Seen, failure, server},
    },
};

fn claim(action: &str, run: &str) -> Claim {
    Claim {
        namespace: "shop".into(),
        lock: "prod".into(),
        action: action.into(),
        uid: if action == "deploy" { UID.into() } else { format!("uid-{action}") },
        run: run.into(),
    }
}

/// The API server's store: the Lease, with its resource version.
#[derive(Default)]
struct Kept {
    lease: Option<Value>,
    version: u64,
    /// The action and the pods that it answers with.
    action: Option<Value>,
    pods: Vec<Value>,
    /// Another writer's change comes before the next write.
    disturbed: bool,
}

impl Kept {
    fn answer(&mut self, request: &Seen) -> (u16, Value) {
        if request.path.ends_with("/pods") {
            return (200, json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": self.pods}));
        }
        if request.path.contains("/pods/") {
            let name = request.path.rsplit('/').next().unwrap_or_default();
            let found = self.pods.iter().find(|pod| pod["metadata"]["name"] == name).cloned();
            return found.map_or_else(|| failure(404, "NotFound", "none"), |pod| (200, pod));
        }
        if request.path.contains("/deploymentactions/") {
            return self
                .action
                .clone()
                .map_or_else(|| failure(404, "NotFound", "none"), |found| (200, found));
        }
        if request.method != "GET" && std::mem::take(&mut self.disturbed) {
            self.version += 1;
            if let Some(lease) = &mut self.lease {
                lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
            }
        }
        let conflict = || failure(409, "Conflict", "changed");
        let wanted = |body: &Value| body["metadata"]["resourceVersion"].clone();
        match (request.method.as_str(), self.lease.clone()) {
            ("GET" | "PUT" | "DELETE", None) => failure(404, "NotFound", "none"),
            ("GET", Some(lease)) => (200, lease),
            ("POST", Some(_)) => failure(409, "AlreadyExists", "there"),
            ("PUT", Some(lease)) if wanted(&request.body) != wanted(&lease) => conflict(),
            ("DELETE", Some(lease)) if request.body["preconditions"]["resourceVersion"] != wanted(&lease) => {
                conflict()
            }
            ("DELETE", Some(lease)) => {
                self.lease = None;
                (200, lease)
            }
            _ => {
                self.version += 1;
                let mut lease = request.body.clone();
                lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
                lease["metadata"]["uid"] = json!("lease-uid");
                self.lease = Some(lease.clone());
                (200, lease)
            }
        }
    }
}

struct Api {
    client: Client,
    kept: Arc<Mutex<Kept>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Api {
    fn new(kept: Kept) -> Self {
        let kept = Arc::new(Mutex::new(kept));
        let answering = Arc::clone(&kept);
        let (client, seen) = server(move |request| answering.lock().unwrap().answer(request));
        Self { client, kept, seen }
    }

    fn lease(&self) -> Value {
        self.kept.lock().unwrap().lease.clone().unwrap()
    }

    async fn look(&self, claim: &Claim) -> (LockSeen, Option<Lease>) {
        look(&self.client, claim).await.unwrap()
    }

    /// Looks and takes.
    async fn have(&self, claim: &Claim) -> Lease {
        let (_, found) = self.look(claim).await;
        take(&self.client, claim, found.as_ref()).await.unwrap().unwrap()
    }
}

/// A pod of the lock in this state.
fn pod(name: &str, action_uid: &str, state: &Value) -> Value {
    json!({
        "metadata": {"name": name, "uid": format!("uid-of-{name}"), "labels": {
            LABEL_MANAGED_BY: MANAGED_BY, LABEL_LOCK: "prod", LABEL_ACTION_UID: action_uid,
        }},
        "spec": {"containers": [], "nodeName": "n"},
        "status": {"containerStatuses": [{
            "name": "action", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state,
        }]},
    })
}

#[tokio::test]
async fn of_two_that_saw_it_free_one_has_it() {
    let api = Api::new(Kept::default());
    let (a, b) = (claim("deploy", "a-1"), claim("other", "b-1"));
    let (seen, found) = api.look(&a).await;
    assert_eq!(seen, LockSeen::Free { pods: vec![] });
    assert!(take(&api.client, &a, found.as_ref()).await.unwrap().is_some());
    assert!(take(&api.client, &b, found.as_ref()).await.unwrap().is_none(), "both created it");
    let lease = api.lease();
    assert_eq!(lease["metadata"]["name"], "longshore-lock-prod");
    assert_eq!(lease["spec"]["holderIdentity"], "deploy/a-1");

    // The same with an emptied Lease.
    release(&api.client, "shop", "prod", (UID, "a-1"), true).await.unwrap();
    assert!(api.lease()["spec"]["holderIdentity"].is_null());
    let (_, found) = api.look(&a).await;
    assert!(take(&api.client, &b, found.as_ref()).await.unwrap().is_some());
    assert!(take(&api.client, &a, found.as_ref()).await.unwrap().is_none(), "both replaced it");
    assert_eq!(api.lease()["spec"]["leaseTransitions"], 2);
}

#[tokio::test]
async fn who_has_it_is_told_so() {
    let api = Api::new(Kept::default());
    let a = claim("deploy", "a-1");
    api.have(&a).await;
    assert!(matches!(api.look(&a).await.0, LockSeen::Ours { .. }));
    assert!(matches!(api.look(&claim("deploy", "a-2")).await.0, LockSeen::Held(_)), "another run of it");
}

#[tokio::test]
async fn a_lease_of_somebody_else_is_left_alone() {
    let stranger = json!({"metadata": {"name": "longshore-lock-prod", "resourceVersion": "7"}, "spec": {"holderIdentity": "x"}});
    let api = Api::new(Kept { lease: Some(stranger.clone()), ..Kept::default() });
    let a = claim("deploy", "a-1");
    assert_eq!(api.look(&a).await.0, LockSeen::Stranger("longshore-lock-prod".into()));
    assert!(mark(&api.client, &a, None, "p", None, 10).await.unwrap().is_none());
    release(&api.client, "shop", "prod", (UID, "a-1"), false).await.unwrap();
    assert_eq!(api.lease(), stranger);
    assert!(api.seen.lock().unwrap().iter().all(|seen| seen.method == "GET"));
}

#[tokio::test]
async fn a_pod_is_put_down_by_whoever_has_the_lock_and_nobody_else() {
    let api = Api::new(Kept::default());
    let a = claim("deploy", "a-1");
    let lease = api.have(&a).await;
    // Somebody changed the Lease meanwhile. It is read again, and is still ours.
    api.kept.lock().unwrap().disturbed = true;
    let marked = mark(&api.client, &a, Some(lease.clone()), "deploy-1-1", None, 100).await.unwrap().unwrap();
    let until = until(&marked).unwrap();
    assert!(until > Timestamp::now() + SignedDuration::from_secs(90));
    let marked =
        mark(&api.client, &a, Some(marked), "deploy-1-1", Some("pod-1"), 100).await.unwrap().unwrap();
    assert_eq!(super::until(&marked), Some(until), "the UID alone is put down");
    assert_eq!((note(&marked, POD), note(&marked, POD_UID)), (Some("deploy-1-1"), Some("pod-1")));
    // Another attempt's pod has another UID, which is not known yet.
    let next = mark(&api.client, &a, None, "deploy-1-2", None, 100).await.unwrap().unwrap();
    assert_eq!((note(&next, POD), note(&next, POD_UID)), (Some("deploy-1-2"), None));

    let (_, found) = api.look(&claim("other", "b-1")).await;
    take(&api.client, &claim("other", "b-1"), found.as_ref()).await.unwrap().unwrap();
    assert!(
        mark(&api.client, &a, Some(lease), "deploy-1-3", None, 100).await.unwrap().is_none(),
        "it was taken away"
    );
    release(&api.client, "shop", "prod", (UID, "a-1"), false).await.unwrap();
    assert_eq!(api.lease()["spec"]["holderIdentity"], "other/b-1", "nobody gives back what another one has");
}

#[tokio::test]
async fn a_lease_that_was_deleted_is_there_again_before_the_pod_is() {
    let api = Api::new(Kept::default());
    let a = claim("deploy", "a-1");
    let lease = api.have(&a).await;
    api.kept.lock().unwrap().lease = None;
    assert!(mark(&api.client, &a, Some(lease), "deploy-1-1", None, 10).await.unwrap().is_some());
    assert_eq!(api.lease()["metadata"]["annotations"][POD], "deploy-1-1");
}

#[tokio::test]
async fn where_nobody_waits_the_lease_goes() {
    let api = Api::new(Kept::default());
    api.have(&claim("deploy", "a-1")).await;
    api.kept.lock().unwrap().disturbed = true;
    release(&api.client, "shop", "prod", (UID, "a-1"), false).await.unwrap();
    assert!(api.kept.lock().unwrap().lease.is_none());
    release(&api.client, "shop", "prod", (UID, "a-1"), false).await.unwrap();
}

#[tokio::test]
async fn without_a_lease_pods_of_the_lock_tell_that_it_is_not_free() {
    let running = pod("other-1-1", "uid-other", &json!({"running": {}}));
    let own = pod("deploy-1-1", UID, &json!({"running": {}}));
    let api = Api::new(Kept { pods: vec![running, own], ..Kept::default() });
    let (LockSeen::Free { pods }, None) = api.look(&claim("deploy", "a-1")).await else { panic!() };
    let names: Vec<_> = pods.iter().map(|pod| (pod.name.as_str(), pod.runs_no_more())).collect();
    assert_eq!(names, [("other-1-1", false), ("deploy-1-1", false)], "an earlier run of its own too");
}

#[tokio::test]
async fn what_is_known_of_a_holder_is_read_from_the_api_server() {
    let ended = pod("other-1-1", "uid-other", &json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
    let api = Api::new(Kept { pods: vec![ended], ..Kept::default() });
    let (mine, others) = (claim("deploy", "a-1"), claim("other", "b-1"));
    let lease = api.have(&others).await;
    let held = async || {
        let (LockSeen::Held(held), Some(_)) = api.look(&mine).await else { panic!() };
        *held
    };
    let seen = held().await;
    assert_eq!((seen.stands, &seen.pod, &seen.recorded), (HolderStands::Gone, &None, &None));
    mark(&api.client, &others, Some(lease), "other-1-1", None, 100).await.unwrap();
    let seen = held().await;
    assert!(seen.recorded.unwrap().runs_no_more() && seen.until.is_some());
    // Another pod of that name says nothing about it.
    mark(&api.client, &others, None, "other-1-1", Some("another"), 100).await.unwrap();
    assert_eq!(held().await.recorded, None);

    let mut holder = action();
    holder.metadata.uid = Some("uid-other".into());
    let lock = LockStatus {
        name: "prod".into(),
        acquired_at: Some(Time(Timestamp::UNIX_EPOCH)),
        ..LockStatus::default()
    };
    let run = RunStatus { id: "b-1".into(), lock: Some(lock), ..RunStatus::default() };
    holder.status.get_or_insert_default().run = Some(run);
    api.kept.lock().unwrap().action = Some(to_value(&holder).unwrap());
    assert_eq!(held().await.stands, HolderStands::UnderWay);
}

#[test]
fn what_an_action_says_of_its_run_and_the_lock() {
    let time = || Some(Time(Timestamp::UNIX_EPOCH));
    let stands = |change: &dyn Fn(&mut RunStatus)| {
        let mut action = action();
        let lock = LockStatus { name: "prod".into(), ..LockStatus::default() };
        let mut run = RunStatus { id: "a-1".into(), lock: Some(lock), ..RunStatus::default() };
        change(&mut run);
        action.status.get_or_insert_default().run = Some(run);
        stands_by(Some(&action), "prod", "a-1", Some(UID))
    };
    let lock = |run: &mut RunStatus, acquired: bool, released: bool| {
        let lock = run.lock.as_mut().unwrap();
        (lock.acquired_at, lock.released_at) = (acquired.then(time).flatten(), released.then(time).flatten());
    };
    assert_eq!(stands(&|_| {}), HolderStands::Waiting);
    assert_eq!(stands(&|run| lock(run, true, false)), HolderStands::UnderWay);
    let over = |run: &mut RunStatus| run.finished_at = time();
    assert_eq!(
        stands(&|run| {
            lock(run, true, false);
            over(run);
        }),
        HolderStands::UnderWay,
        "not given back yet"
    );
    assert_eq!(
        stands(&|run| {
            lock(run, true, true);
            over(run);
        }),
        HolderStands::Gone
    );
    assert_eq!(stands(&over), HolderStands::Gone, "it ended while it waited");
    assert_eq!(stands(&|run| run.id = "a-2".into()), HolderStands::Gone);
    assert_eq!(stands(&|run| run.lock = None), HolderStands::Gone);
    assert_eq!(stands_by(None, "prod", "a-1", Some(UID)), HolderStands::Gone);
    assert_eq!(stands_by(Some(&action()), "prod", "a-1", Some("another")), HolderStands::Gone);
}

#[tokio::test]
async fn what_somebody_wrote_on_a_lease_becomes_no_path() {
    let api = Api::new(Kept::default());
    let others = Claim { action: "../secrets/x".into(), ..claim("other", "b-1") };
    let lease = api.have(&others).await;
    mark(&api.client, &others, Some(lease), "../../x", None, 100).await.unwrap();
    api.seen.lock().unwrap().clear();
    api.look(&claim("deploy", "a-1")).await;
    let seen = api.seen.lock().unwrap();
    let paths: Vec<_> = seen.iter().map(|seen| seen.path.rsplit('/').next().unwrap()).collect();
    assert_eq!(paths, ["longshore-lock-prod", "pods"]);
}
