//! Thousands of actions, templates and `ActionPolicies` that are wrong, odd or hostile. The API server
//! refuses them, or the operator copes: it goes on, shows no secret, brings every action to an end and leaves
//! nothing behind. None of our rules and policies may fail to be evaluated.
//!
//! `LONGSHORE_FUZZ_COUNT` says how many are sent, `LONGSHORE_FUZZ_SEED` which ones: the same seed
//! sends the same ones. `make fuzz N=10000 SEED=1` sets both.
//!
//! In a hundred resources are 65 actions (nearly half of them use a template), 15 templates, 10 cluster
//! templates and 10 `ActionPolicies`. About half are only judged, by a dry run; half of these dry runs come
//! from a user who may write such resources and nothing else. Two of five stored actions wait until somebody
//! asks for a run. Five of a hundred actions can have pods, and an eighth of these run their scripts. A quota
//! refuses the pods of all others.

mod answers;
mod cases;
mod kinds;
mod mutate;
mod operator;
mod places;
mod policies;
mod sender;
mod settled;
mod specs;
mod templates;
mod words;

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{FutureExt, future::join_all};
use kube::Client;

use crate::support::{
    action::{Action, Done},
    namespace::{client, in_namespace, within},
};
use answers::Counts;
use kinds::Kind;
use operator::Operator;
use places::Places;
use sender::{Sender, Stored};

/// How many are sent at the same time.
const SENDERS: usize = 16;
/// After this many resources, new namespaces take over.
const ROUND: u64 = 2500;
/// How long namespaces may take to go: the operator looks every two minutes for what holds them.
const GONE: Duration = Duration::from_mins(3);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_resources_do_no_harm() {
    let (count, seed) = (number("LONGSHORE_FUZZ_COUNT", 800), number("LONGSHORE_FUZZ_SEED", 20_261_123));
    println!("LONGSHORE_FUZZ_COUNT={count} LONGSHORE_FUZZ_SEED={seed}");
    // It installs what TLS needs.
    let plain = client().await;
    let mut config = kube::Config::infer().await.expect("KUBECONFIG names a cluster");
    // An answer of 5xx is to be seen, not sent again.
    config.default_retry = false;
    let client = Client::try_from(config).expect("a client");
    let operator = Operator::watched(plain).await;
    let metrics = operator.metrics().await;
    let before = circles(&metrics);

    let mut counts = Counts::default();
    let mut used = Vec::new();
    let started = Instant::now();
    let outcome = AssertUnwindSafe(play(&client, count, seed, &mut counts, &mut used)).catch_unwind().await;
    if let Err(panic) = outcome {
        for places in used.iter().rev().take(2) {
            places.remove().await;
        }
        resume_unwind(panic);
    }
    counts.report(started.elapsed());

    operator.assert_unharmed().await;
    in_namespace(async |namespace| {
        let plain = namespace.apply("plain", Action::script("echo hello")).await;
        let begun = Instant::now();
        within(Duration::from_mins(1), "a plain action is finished", async || {
            Done::of(plain.get().await).is_finished().then_some(())
        })
        .await;
        println!("a plain action took {} ms then", begun.elapsed().as_millis());
        plain.finished().await.assert_succeeded();
    })
    .await;
    let metrics_now = operator.metrics().await;
    assert!(metrics_now.contains("controller_runtime_reconcile_total"));
    assert_eq!(circles(&metrics_now), before, "looks that went round in circles");
    assert_log(&operator.lines(), &counts);
    assert_eq!(counts.faulty(), 0, "server errors and rules that cannot be evaluated: {:#?}", counts.faults);
    for kind in Kind::all() {
        let tally = *counts.tally(kind);
        let (few, name) = (tally.sent / 20, kind.name());
        assert_eq!(tally.accepted + tally.refused, tally.sent, "{name}");
        assert!(tally.accepted > few && tally.refused > few, "too few of a sort: {name}: {tally:?}");
    }
    assert_eq!(counts.of_kind.values().map(|tally| tally.sent).sum::<u64>(), count);
    assert!(counts.settled > 0, "no action was there at a round's end");
    let by = Instant::now() + GONE;
    join_all(used.iter().map(|places| places.gone(by))).await;
    operator.assert_unharmed().await;
}

/// Sends all of them, in rounds. The leftovers of a round are checked after the next round, when most of them
/// have ended.
async fn play(client: &Client, count: u64, seed: u64, counts: &mut Counts, used: &mut Vec<Arc<Places>>) {
    let started = Instant::now();
    let mut before = None;
    for round in 0..count.div_ceil(ROUND) {
        let places = Arc::new(Places::create(client, round).await);
        used.push(Arc::clone(&places));
        let until = count.min((round + 1) * ROUND);
        let left = send(client, seed, round * ROUND..until, &places, counts).await;
        println!("{until} sent after {} s", started.elapsed().as_secs());
        if let Some((places, left)) = before.replace((places, left)) {
            close(client, &places, left, counts).await;
        }
    }
    if let Some((places, left)) = before {
        close(client, &places, left, counts).await;
    }
}

/// Sends cases to these places, and answers with what is left of them there.
async fn send(
    client: &Client,
    seed: u64,
    cases: std::ops::Range<u64>,
    places: &Places,
    counts: &mut Counts,
) -> Vec<Stored> {
    let next = AtomicU64::new(cases.start);
    let senders = (0..SENDERS).map(|_| async {
        let mut sender = Sender::new(client.clone(), places);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cases.end {
                break;
            }
            sender.play(seed, number).await;
        }
        sender.done()
    });
    let mut left = Vec::new();
    for (of_one, live) in join_all(senders).await {
        counts.add(of_one);
        left.extend(live);
    }
    left
}

/// Waits until what is left has come to its end, and removes it.
async fn close(client: &Client, places: &Places, left: Vec<Stored>, counts: &mut Counts) {
    let settled = settled::settle(client, places, &counts.forged).await;
    counts.add(settled);
    let mut sender = Sender::new(client.clone(), places);
    sender.clear(left).await;
    counts.add(sender.done().0);
    places.remove().await;
}

/// How many looks at actions went on until they were broken off, as the operator counts them.
fn circles(metrics: &str) -> Option<&str> {
    metrics.lines().find(|line| line.contains(r#"category="circle""#))?.rsplit(' ').next()
}

/// Nothing of a Secret, no panic, and nothing that the schema accepts and the operator cannot read.
fn assert_log(lines: &[String], counts: &Counts) {
    if let Ok(path) = std::env::var("LONGSHORE_FUZZ_LOG") {
        std::fs::write(path, lines.join("\n")).expect("writing the operator's log");
    }
    let warnings = lines.iter().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();
    let ends = |words: &str| {
        lines.iter().filter(|line| line.contains("run finished") && line.contains(words)).count()
    };
    println!(
        "the operator wrote {} lines, {warnings} of them warnings; {} runs had their end, {} of them Succeeded",
        lines.len(),
        ends(""),
        ends("Succeeded"),
    );
    assert!(!lines.is_empty(), "the operator's log was not read");
    let having = |words: &str| lines.iter().filter(|line| line.contains(words)).take(5).collect::<Vec<_>>();
    assert_eq!(having("panicked"), Vec::<&String>::new());
    assert_eq!(having(words::SENTINEL), Vec::<&String>::new());
    assert_eq!(having("an ActionPolicy cannot be read"), Vec::<&String>::new());
    let unread: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("cannot be read and is passed over"))
        .filter(|line| !counts.forged.iter().any(|forged| names(line, forged)))
        .take(5)
        .collect();
    assert!(unread.is_empty(), "accepted, and not read by the operator: {unread:#?}");
}

/// Whether a line of the log is about `namespace/name`.
fn names(line: &str, action: &str) -> bool {
    let (namespace, name) = action.split_once('/').expect("namespace/name");
    line.contains(&format!("action=\"{name}\"")) && line.contains(&format!("namespace=\"{namespace}\""))
}
