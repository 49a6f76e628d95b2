//! Thousands of actions that are wrong, odd or hostile: the API server refuses them or the operator
//! copes, and whatever they say, it goes on, shows no secret, and leaves nothing behind.
//!
//! `LONGSHORE_FUZZ_COUNT` says how many are sent, `LONGSHORE_FUZZ_SEED` which ones: the same seed
//! sends the same ones. `make fuzz N=10000 SEED=1` sets both.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "end_to_end/action.rs"]
mod action;
#[path = "end_to_end/namespace.rs"]
mod namespace;

#[path = "fuzz/cases.rs"]
mod cases;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/operator.rs"]
mod operator;
#[path = "fuzz/places.rs"]
mod places;
#[path = "fuzz/random.rs"]
mod random;
#[path = "fuzz/sender.rs"]
mod sender;
#[path = "fuzz/specs.rs"]
mod specs;
#[path = "fuzz/words.rs"]
mod words;

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::join_all};
use kube::Client;

use action::Action;
use namespace::{client, in_namespace, within};
use operator::Operator;
use places::Places;
use sender::{Counts, Sender};

/// So many are sent at the same time.
const SENDERS: usize = 16;
/// After so many, others take the place of the namespaces.
const ROUND: u64 = 1000;
/// How long namespaces may take to go: the operator looks every two minutes for what holds them.
const GONE: Duration = Duration::from_mins(3);

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_actions_do_no_harm() {
    let (count, seed) = (number("LONGSHORE_FUZZ_COUNT", 400), number("LONGSHORE_FUZZ_SEED", 20_261_123));
    println!("LONGSHORE_FUZZ_COUNT={count} LONGSHORE_FUZZ_SEED={seed}");
    // It installs what TLS needs.
    let plain = client().await;
    let mut config = kube::Config::infer().await.expect("KUBECONFIG names a cluster");
    // An answer of 5xx is to be seen, not sent again.
    config.default_retry = false;
    let client = Client::try_from(config).expect("a client");
    let operator = Operator::watched(plain).await;

    let mut counts = Counts::default();
    let mut used = Vec::new();
    let started = Instant::now();
    let outcome = AssertUnwindSafe(async {
        for round in 0..count.div_ceil(ROUND) {
            let places = Places::create(&client, round).await;
            used.push(places);
            let places = &used[used.len() - 1];
            counts.add(send(&client, seed, round * ROUND..count.min((round + 1) * ROUND), places).await);
            places.remove().await;
            println!("{} sent after {} s", count.min((round + 1) * ROUND), started.elapsed().as_secs());
        }
    })
    .catch_unwind()
    .await;
    if let Err(panic) = outcome {
        if let Some(last) = used.last() {
            last.remove().await;
        }
        resume_unwind(panic);
    }
    report(&counts, started.elapsed());

    operator.assert_unharmed().await;
    in_namespace(async |namespace| {
        let plain = namespace.apply("plain", Action::script("echo hello")).await;
        let begun = Instant::now();
        within(Duration::from_mins(1), "a plain action is finished", async || {
            action::Done(plain.get().await).is_finished().then_some(())
        })
        .await;
        println!("a plain action took {} ms then", begun.elapsed().as_millis());
        plain.finished().await.assert_succeeded();
    })
    .await;
    assert!(operator.metrics().await.contains("controller_runtime_reconcile_total"));
    assert_log(&operator.lines(), &counts);
    assert!(
        counts.faults.is_empty(),
        "{} answers of 5xx, among them: {:#?}",
        counts.faults.len(),
        &counts.faults[..counts.faults.len().min(5)]
    );
    let (accepted, refused) = (counts.of("create", 200, 300), counts.of("create", 400, 500));
    assert_eq!(accepted + refused, count);
    assert!(accepted > count / 5 && refused > count / 5, "{accepted} accepted, {refused} refused");
    let by = Instant::now() + GONE;
    join_all(used.iter().map(|places| places.gone(by))).await;
    operator.assert_unharmed().await;
}

async fn send(client: &Client, seed: u64, cases: std::ops::Range<u64>, places: &Places) -> Counts {
    let next = AtomicU64::new(cases.start);
    let senders = (0..SENDERS).map(|_| async {
        let mut sender = Sender::new(client.clone(), &places.quiet, &places.open);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= cases.end {
                break;
            }
            sender.play(seed, number).await;
        }
        sender.finish().await;
        sender.counts
    });
    let mut counts = Counts::default();
    join_all(senders).await.into_iter().for_each(|of_one| counts.add(of_one));
    counts
}

fn report(counts: &Counts, took: Duration) {
    for ((verb, code), count) in &counts.answers {
        println!("{verb}: {count} times {code}");
    }
    let sent: u64 = counts.answers.values().sum();
    println!(
        "{} accepted, {} refused; {sent} requests in {} s, {} creations a second",
        counts.of("create", 200, 300),
        counts.of("create", 400, 500),
        took.as_secs(),
        counts.of("create", 0, 1000) / took.as_secs().max(1),
    );
}

/// Nothing of a Secret, no panic, and no action that the schema accepts and the operator cannot read.
fn assert_log(lines: &[String], counts: &Counts) {
    if let Ok(path) = std::env::var("LONGSHORE_FUZZ_LOG") {
        std::fs::write(path, lines.join("\n")).expect("writing the operator's log");
    }
    let warnings = lines.iter().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();
    println!("the operator wrote {} lines, {warnings} of them warnings", lines.len());
    assert!(!lines.is_empty(), "the operator's log was not read");
    let having = |words: &str| lines.iter().filter(|line| line.contains(words)).take(5).collect::<Vec<_>>();
    assert_eq!(having("panicked"), Vec::<&String>::new());
    assert_eq!(having(words::SENTINEL), Vec::<&String>::new());
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
