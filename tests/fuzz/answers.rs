//! What the API server answered, counted, and which answers are faults.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use super::kinds::Kind;

/// How many faults are kept in words.
const MOST_WORDS: usize = 20;

/// Words with which the API server says that a rule or policy of ours could not be evaluated, or had no
/// words of its own (`apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go`,
/// `apiserver/pkg/admission/plugin/policy/validating`). Such a refusal looks like any other.
const BROKEN: &[&str] = &[
    "call arguments did not match a supported operator",
    "call cost exceeds limit",
    "cost budget",
    "failed rule:",
    "failed expression:",
    "failed messageExpression:",
    "resulted in error",
    "fails to evaluate",
    "failed to configure",
    "failed to convert object version",
];

/// Words that say that a rule of ours failed on its input.
///
/// An object of another kind is judged by the rules alone, whatever it looks like (tried on 1.37). And
/// "invalid data" is said before a rule is asked: a number such as -0.0 is a whole one to the schema only.
fn unevaluated(words: &str) -> Option<usize> {
    if words.contains("kind: Invalid value:") {
        return None;
    }
    words.match_indices("evaluating rule:").map(|(at, _)| at).find(|at| {
        let before = &words[..*at];
        let said = before.rfind("Invalid value:").unwrap_or_default();
        !before[said..].contains("invalid data, expected ")
    })
}

/// Whether an answer of 500 is Kubernetes' own, which a `ConfigMap` gets as well: to a patch with a resource
/// version that is no number, or a creation with one that is.
fn is_known(verb: &str, words: &str) -> bool {
    let (means, said) = if verb.starts_with("patch") {
        ("patch", "strconv.ParseUint:")
    } else {
        ("create", "resourceVersion should not be set on objects to be created")
    };
    verb.starts_with(means) && words.contains(said)
}

/// What became of the resources of one kind.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// One a case, whatever was done to it later.
    pub(crate) sent: u64,
    /// How many of these were only judged.
    pub(crate) dry: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Answers of 500 and above, to whatever was sent about one.
    pub(crate) server_errors: u64,
    /// Refusals by a rule or policy that could not be evaluated.
    pub(crate) broken_rules: u64,
}

/// The sum of all answers.
#[derive(Default)]
pub(crate) struct Counts {
    /// By verb and HTTP status.
    pub(crate) answers: BTreeMap<(&'static str, u16), u64>,
    pub(crate) of_kind: BTreeMap<Kind, Tally>,
    /// Server errors and broken rules in words, as far as they go.
    pub(crate) faults: Vec<String>,
    /// `namespace/name` of actions whose status was written by somebody else than the operator.
    pub(crate) forged: HashSet<String>,
    /// Of actions that were stored: that came to an end or are held.
    pub(crate) settled: u64,
    /// And that were still within their own deadlines when their namespace was removed.
    pub(crate) waiting: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        for (key, count) in other.answers {
            *self.answers.entry(key).or_default() += count;
        }
        for (kind, more) in other.of_kind {
            let all = self.of_kind.entry(kind).or_default();
            all.sent += more.sent;
            all.dry += more.dry;
            all.accepted += more.accepted;
            all.refused += more.refused;
            all.server_errors += more.server_errors;
            all.broken_rules += more.broken_rules;
        }
        self.faults.extend(other.faults);
        self.forged.extend(other.forged);
        self.settled += other.settled;
        self.waiting += other.waiting;
    }

    pub(crate) fn tally(&mut self, kind: Kind) -> &mut Tally {
        self.of_kind.entry(kind).or_default()
    }

    /// Counts an answer, and looks for what must not be in it. `about` says what was sent.
    pub(crate) fn answered(
        &mut self,
        (kind, verb, about): (Kind, &'static str, impl FnOnce() -> String),
        code: u16,
        answer: &[u8],
    ) {
        *self.answers.entry((verb, code)).or_default() += 1;
        if code < 300 {
            return;
        }
        let words = String::from_utf8_lossy(answer);
        let known = is_known(verb, &words);
        let broken = unevaluated(&words).or_else(|| BROKEN.iter().find_map(|said| words.find(said)));
        if code >= 500 && !known {
            self.tally(kind).server_errors += 1;
        } else if broken.is_some() {
            self.tally(kind).broken_rules += 1;
        } else {
            return;
        }
        if self.faults.len() < MOST_WORDS {
            let skipped = words[..broken.unwrap_or_default()].chars().count().saturating_sub(400);
            let words: String = words.chars().skip(skipped).take(1200).collect();
            self.faults.push(format!("{}, {}: {verb}: {code}: {words}", about(), kind.name()));
        }
    }

    /// How many faults there were.
    pub(crate) fn faulty(&self) -> u64 {
        self.of_kind.values().map(|tally| tally.server_errors + tally.broken_rules).sum()
    }

    /// Says what was sent and what came of it.
    pub(crate) fn report(&self, took: Duration) {
        for ((verb, code), count) in &self.answers {
            println!("{verb}: {count} times {code}");
        }
        for (kind, tally) in &self.of_kind {
            println!(
                "{}: {} sent ({} of them to be judged only), {} accepted, {} refused, {} server errors, {} broken rules",
                kind.name(),
                tally.sent,
                tally.dry,
                tally.accepted,
                tally.refused,
                tally.server_errors,
                tally.broken_rules,
            );
        }
        let (sent, requests): (u64, u64) =
            (self.of_kind.values().map(|tally| tally.sent).sum(), self.answers.values().sum());
        println!(
            "{sent} resources and {requests} requests in {} s, {} resources a second",
            took.as_secs(),
            sent / took.as_secs().max(1),
        );
        println!(
            "of the actions that were there at a round's end {} had come to an end or were held, and {} were within their own deadlines; {} statuses were forged",
            self.settled,
            self.waiting,
            self.forged.len(),
        );
    }
}

#[test]
fn a_policy_that_cannot_be_evaluated_is_no_refusal() {
    let broken = |words: &str| {
        let mut counts = Counts::default();
        let about = || "case 1".to_owned();
        counts.answered((Kind::Action, "create", about), 422, words.as_bytes());
        counts.faulty()
    };
    for words in [
        "denied request: expression 'size(variables.above) == 0' resulted in error: composited variable",
        "denied request: failed expression: size(variables.devices) == 0",
        "spec.retry: Invalid value: \"object\": no such key: limit evaluating rule: exitCodes narrow the cause",
        "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator",
    ] {
        assert_eq!(broken(words), 1, "{words}");
    }
    for words in [
        "denied request: spec.image is tools:1, and ActionPolicy/default of namespace a allows digests only",
        "spec.parameters[0]: Invalid value: \"object\": invalid data, expected XIntOrString value to be either a string or integer evaluating rule: a parameter has exactly one",
        "[kind: Invalid value: \"Pod\": must be DeploymentAction, spec.variables[0]: Invalid value: \"object\": no such key: name evaluating rule: a",
    ] {
        assert_eq!(broken(words), 0, "{words}");
    }
}

#[test]
fn a_server_error_is_a_fault_unless_it_is_the_answer_that_a_resource_version_gets_from_kubernetes() {
    let faulty = |verb: &'static str, words: &str| {
        let mut counts = Counts::default();
        counts.answered((Kind::Action, verb, || "case 1".to_owned()), 500, words.as_bytes());
        counts.faulty() == 1
    };
    let (number, set) = (
        "strconv.ParseUint: parsing \"x\": invalid syntax",
        "resourceVersion should not be set on objects to be created",
    );
    assert!(!faulty("patch of what is there", number) && !faulty("create", set));
    assert!(faulty("create", number) && faulty("patch", set) && faulty("delete", number));
    assert!(faulty("create", "etcdserver: request timed out"));
}
