//! Neighbours that flood: beside each, one lone action in another namespace, whose time to its first status
//! and to its end is measured. The bounds are far from noise, and far from what a flood did to it once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use longshore::api::{DeploymentAction, DeploymentActionTemplate};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{attack::is_long, nodes::runner};
use crate::{
    node::{Cluster, FakeNode, MARK, Options},
    support::{
        action::{Action, Done},
        namespace::{Namespace, examples_image, in_namespace, within},
        turns::{alone, among_others},
    },
};

/// Until an operator that is not held up has looked at an action, and until a script of a moment has ended,
/// on a busy machine. Operators that were held up took from one minute to four. Alone they are 0.1 s and 2 s.
const FIRST_LOOK: Duration = Duration::from_secs(20);
const END: Duration = Duration::from_mins(3);
/// How often it is measured, one action after the other.
const TIMES: usize = 3;

/// A listener in the cluster's network that accepts, and says nothing for ever.
struct Tarpit {
    port: u16,
    held: &'static AtomicUsize,
}

impl Tarpit {
    fn start() -> Self {
        static HELD: AtomicUsize = AtomicUsize::new(0);
        let cluster = Cluster::running();
        let (told, port) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            cluster.runtime().block_on(async {
                let listener = TcpListener::bind((Cluster::address(), 0)).await.expect("a port");
                told.send(listener.local_addr().expect("an address").port()).expect("the test waits for it");
                let mut held = Vec::new();
                loop {
                    if let Ok((connection, _)) = listener.accept().await {
                        HELD.fetch_add(1, Ordering::Relaxed);
                        held.push(connection);
                    }
                }
            });
        });
        Self { port: port.recv().expect("the tarpit listens"), held: &HELD }
    }

    fn image(&self, name: &str) -> String {
        format!("{}:{}/{name}:1", Cluster::address(), self.port)
    }
}

/// Creates all of them, many at a time.
async fn create(namespace: &Namespace, actions: impl IntoIterator<Item = (String, Action)>) {
    use futures::StreamExt;
    let begun = Instant::now();
    let api = namespace.api::<DeploymentAction>();
    let made = futures::stream::iter(actions)
        .map(|(name, action)| {
            let api = &api;
            async move {
                let object = serde_json::from_value(action.object(&name)).expect("an action");
                api.create(&PostParams::default(), &object).await.map(|_| ())
            }
        })
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    let refused: Vec<_> = made.iter().filter_map(|made| made.as_ref().err()).collect();
    assert!(refused.is_empty(), "{} were refused: {:?}", refused.len(), refused.first());
    println!("{} actions in {:.1} s", made.len(), begun.elapsed().as_secs_f64());
}

/// How long lone actions take, each until its first status and until its end: the longest of each. One that
/// is too long is enough.
async fn measured(namespace: &Namespace, what: &str) -> (Duration, Duration) {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let lone = namespace.sibling().await;
    for number in 0..TIMES {
        let begun = Instant::now();
        let action = lone.apply(&format!("lone-{number}"), Action::script("echo hello")).await;
        within(Duration::from_mins(3), "its first status", async || {
            let seen = Done::of(action.get().await);
            seen.0.status.as_ref().is_some_and(|status| !status.conditions.is_empty()).then_some(())
        })
        .await;
        first.push(begun.elapsed());
        within(Duration::from_mins(4), "its end", async || {
            let seen = Done::of(action.get().await);
            seen.is_finished().then_some(())
        })
        .await;
        last.push(begun.elapsed());
        if first[number] > FIRST_LOOK || last[number] > END {
            break;
        }
    }
    lone.remove().await;
    let longest = |all: &[Duration]| *all.iter().max().expect("a few");
    let (look, end) = (longest(&first), longest(&last));
    let seconds = |all: &[Duration]| {
        let all: Vec<String> = all.iter().map(|one| format!("{:.1}", one.as_secs_f64())).collect();
        all.join(" ")
    };
    println!("{what}: first status after {} s, end after {} s", seconds(&first), seconds(&last));
    (look, end)
}

/// Measures it alone, and then beside `flood`, which gives what it needs to go on.
async fn beside<T>(
    what: &str,
    flood: impl AsyncFnOnce(&Namespace) -> T,
    meanwhile: impl AsyncFnOnce(&Namespace),
) {
    let _quiet = alone().await;
    in_namespace(async |namespace| {
        // Leftovers of an earlier flood are worked off first.
        let before = format!("before {what}");
        within(Duration::from_mins(4), "all is calm", async || {
            (measured(namespace, &before).await.0 < FIRST_LOOK / 2).then_some(())
        })
        .await;
        let _needed = flood(namespace).await;
        let (look, end) = tokio::select! {
            times = measured(namespace, what) => times,
            () = meanwhile(namespace) => panic!("the flood is over too soon"),
        };
        clear(namespace).await;
        assert!(look <= FIRST_LOOK, "beside {what} a first status took {:.1} s", look.as_secs_f64());
        assert!(end <= END, "beside {what} an action took {:.1} s", end.as_secs_f64());
    })
    .await;
}

async fn nothing_more(_: &Namespace) {
    std::future::pending::<()>().await;
}

/// The next test must measure without leftovers.
async fn clear(namespace: &Namespace) {
    let actions = namespace.api::<DeploymentAction>();
    let all = ListParams::default();
    actions.delete_collection(&DeleteParams::background(), &all).await.expect("deleting the flood");
    within(Duration::from_mins(10), "the flood is gone", async || {
        let left = actions.list_metadata(&all.clone().limit(1)).await.expect("listing the flood");
        left.items.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_registry_that_is_silent_holds_up_nobody_else() {
    let tarpit = Tarpit::start();
    let held = tarpit.held;
    let flood = async |namespace: &Namespace| {
        let count = if is_long() { 1000 } else { 150 };
        let silent = (0..count).map(|number| {
            let action = Action::script("echo never").image(&tarpit.image(&format!("image-{number}")));
            (format!("silent-{number}"), action)
        });
        create(namespace, silent).await;
        within(Duration::from_mins(1), "the operator asks it", async || {
            (held.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
    };
    beside("a silent registry", flood, nothing_more).await;
    println!("{} connections to it", held.load(Ordering::Relaxed));
}

/// Scripts on a fake node, so that what is measured is the operator and not this machine's containers.
#[tokio::test]
async fn many_actions_of_one_namespace_hold_up_nobody_else() {
    let flood = async |namespace: &Namespace| {
        // They are launched, and wait for ever: each asks for a registry, a pod, events and statuses.
        let name = format!("{}-n", namespace.name);
        let never = Options { start_delay: Duration::from_hours(1), ..Options::new(&name, runner()) };
        let node = FakeNode::start(never).await;
        let template = json!({
            "nodeSelector": {"kubernetes.io/hostname": name},
            "tolerations": [{"key": MARK, "operator": "Exists"}],
        });
        let count = if is_long() { 1000 } else { 150 };
        let all = (0..count).map(|number| {
            let action = Action::script("echo never").with("podTemplate", template.clone());
            (format!("one-of-many-{number}"), action)
        });
        create(namespace, all).await;
        // Without it nothing would delete their pods.
        node
    };
    beside("many actions", flood, nothing_more).await;
}

/// The heaviest template that may be: as many parameters as there may be, each with a pattern and a value
/// that take as much as they may.
fn heavy() -> (Value, Value) {
    let names = (0..64).map(|number| format!("P{number}"));
    let parameters: Vec<Value> =
        names.clone().map(|name| json!({"name": name, "pattern": "(a{1,30}){1,30}"})).collect();
    let values: Vec<Value> = names.map(|name| json!({"name": name, "value": "a".repeat(600)})).collect();
    (json!(parameters), json!(values))
}

#[tokio::test]
async fn heavy_patterns_and_a_storm_of_annotations_hold_up_nobody_else() {
    let flood = async |namespace: &Namespace| {
        let (parameters, values) = heavy();
        let template = json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentActionTemplate",
            "metadata": {"name": "heavy"},
            "spec": {"image": examples_image(), "script": {"inline": "true"}, "parameters": parameters},
        });
        namespace.put::<DeploymentActionTemplate>(template).await;
        let all = (0..20).map(|number| {
            let action = Action::of_template(None, "heavy")
                .with("parameters", values.clone())
                .with("runPolicy", "Manual");
            (format!("heavy-{number}"), action)
        });
        create(namespace, all).await;
    };
    beside("heavy patterns", flood, storm).await;
}

#[tokio::test]
async fn a_storm_of_annotations_holds_up_nobody_else() {
    let flood = async |namespace: &Namespace| {
        let all = (0..20).map(|number| {
            let action = Action::script("echo hello").with("runPolicy", "Manual");
            (format!("stormy-{number}"), action)
        });
        create(namespace, all).await;
    };
    beside("a storm of annotations", flood, storm).await;
}

/// Writes annotations of all actions, as fast as the API server lets it, for ever.
async fn storm(namespace: &Namespace) {
    let actions = namespace.api::<DeploymentAction>();
    let names: Vec<String> = actions
        .list_metadata(&ListParams::default())
        .await
        .expect("listing the flood")
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let rounds = names.iter().map(async |name| {
        for round in 0_u64.. {
            let patch = json!({"metadata": {"annotations": {"example.com/round": round.to_string()}}});
            // What is refused for its number is a part of the storm.
            let _ = actions.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        }
    });
    futures::future::join_all(rounds).await;
}

/// A spec that the API server takes, and that is so large that its status may not fit beside it.
fn large(bytes: usize) -> Value {
    let values: Vec<String> = (0..64).map(|at| format!("{}{at:02}", "x".repeat(60))).collect();
    let expression =
        |number: usize| json!({"key": format!("example.com/k{number}"), "operator": "In", "values": values});
    // As many of each as the schema allows, and no more.
    let expressions: Vec<Value> = (0..bytes / 4250).map(expression).collect();
    let terms: Vec<Value> = expressions
        .chunks(8)
        .map(|some| json!({"weight": 1, "preference": {"matchExpressions": some}}))
        .collect();
    json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": terms}}})
}

/// Each is refused at its creation or comes to an end, and none holds the lock for ever.
#[tokio::test]
async fn specs_as_large_as_the_api_server_takes_come_to_an_end_and_pass_their_lock_on() {
    let _others = among_others().await;
    in_namespace(async |namespace| {
        let lock = json!({"name": "prod"});
        let create = async |bytes: usize| {
            let action = Action::script("echo hello")
                .with("podTemplate", large(bytes))
                .with("pendingDeadlineSeconds", 20)
                .with("lock", lock.clone());
            let name = format!("large-{bytes}");
            let object = serde_json::from_value(action.object(&name)).expect("an action");
            let made =
                namespace.api::<DeploymentAction>().create(&PostParams::default(), &object).await.map(|_| ());
            made.map(|()| name.clone()).map_err(|error| format!("{name}: {error}"))
        };
        let mut taken = Vec::new();
        // etcd takes a request of 1.5 MiB: the largest that comes through, first of all in the queue.
        for bytes in (1_500_000..1_640_000).rev().step_by(4250) {
            if let Ok(name) = create(bytes).await {
                taken.push(name);
                break;
            }
        }
        for bytes in [1_400_000, 1_200_000, 700_000, 300_000, 100_000] {
            match create(bytes).await {
                Ok(name) => taken.push(name),
                Err(words) => println!("refused: {}", words.chars().take(300).collect::<String>()),
            }
        }
        assert!(!taken.is_empty(), "all were refused");
        let last = namespace.apply("last", Action::script("echo hello").with("lock", lock)).await;
        for name in &taken {
            let action = crate::support::action::Handle { namespace, name: name.clone() };
            let done = super::attack::finished_within(&action, Duration::from_mins(2)).await;
            println!("{name}: {:?}", done.reason());
        }
        last.finished().await.assert_succeeded();
    })
    .await;
}
