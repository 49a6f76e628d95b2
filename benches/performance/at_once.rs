//! Many of one kind at once. Twice, the second time in the other order: what runs first finds the
//! machine warmer or colder than what runs last.

use std::collections::BTreeMap;

use crate::{
    Result,
    audit::{AuditLog, Requests},
    kinds::Kind,
    operator::Operator,
    place::Place,
    samples::{Sample, Values},
};

pub(crate) struct Measured {
    pub(crate) count: usize,
    /// Of each kind, the rounds.
    pub(crate) rounds: BTreeMap<Kind, Vec<Vec<Sample>>>,
    /// None where the audit log cannot be read.
    pub(crate) requests: Option<Requests>,
}

pub(crate) async fn measure(
    places: &[Place],
    count: usize,
    mut audit: Option<&mut AuditLog>,
    operator: &mut Operator,
) -> Result<Measured> {
    let mut rounds = BTreeMap::<Kind, Vec<Vec<Sample>>>::new();
    let mut requests = audit.is_some().then(Requests::default);
    let there: Vec<&Place> = places.iter().collect();
    let back: Vec<&Place> = places.iter().rev().collect();
    for (round, order) in [there, back].into_iter().enumerate() {
        for place in order {
            let kind = place.kind;
            eprintln!("{count} at once: {}, round {} of 2", kind.name(), round + 1);
            let names: Vec<String> =
                (1..=count).map(|number| format!("{}-{round}-{count}-{number}", kind.word())).collect();
            if let Some(audit) = &mut audit {
                audit.skip()?;
            }
            if kind == Kind::Action {
                operator.begin().await?;
            }
            let samples = place.run(&names).await?;
            place.settle().await?;
            // Only now: the client sees a verdict before the operator has the answer to writing it.
            if kind == Kind::Action {
                let what = format!("{count} at once, round {}", round + 1);
                operator.end(what, count, Values::took(&samples).mean()).await?;
            }
            if let (Some(audit), Some(requests)) = (&mut audit, &mut requests) {
                audit.count(std::slice::from_ref(place), count, requests)?;
            }
            place.clear().await?;
            rounds.entry(kind).or_default().push(samples);
        }
    }
    Ok(Measured { count, rounds, requests })
}
