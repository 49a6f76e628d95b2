//! One at a time, each kind in its turn, so that all of them see the machine in the same state.

use std::collections::BTreeMap;

use crate::{
    Result,
    audit::{AuditLog, Requests},
    kinds::Kind,
    operator::Operator,
    place::Place,
    samples::{Sample, Values},
};

/// How often, unless `LONGSHORE_BENCH_TURNS` says otherwise.
pub(crate) const TURNS: usize = 40;

pub(crate) struct Measured {
    pub(crate) turns: usize,
    pub(crate) samples: BTreeMap<Kind, Vec<Sample>>,
    /// None where the audit log cannot be read.
    pub(crate) requests: Option<Requests>,
}

pub(crate) async fn measure(
    places: &[Place],
    turns: usize,
    mut audit: Option<&mut AuditLog>,
    operator: &mut Operator,
) -> Result<Measured> {
    let mut samples = BTreeMap::<Kind, Vec<Sample>>::new();
    if let Some(audit) = &mut audit {
        audit.skip()?;
    }
    operator.begin().await?;
    for turn in 1..=turns {
        eprintln!("in turn: {turn} of {turns}");
        for place in places {
            let name = format!("{}-{turn}", place.kind.word());
            samples.entry(place.kind).or_default().extend(place.run(&[name]).await?);
            place.settle().await?;
        }
    }
    let took = Values::took(&samples[&Kind::Action]);
    operator.end(format!("{turns} in turn"), turns, took.mean()).await?;
    let mut requests = audit.is_some().then(Requests::default);
    if let (Some(audit), Some(requests)) = (audit, &mut requests) {
        audit.count(places, turns, requests)?;
    }
    for place in places {
        place.clear().await?;
    }
    Ok(Measured { turns, samples, requests })
}
