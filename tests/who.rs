//! Who may do what: the admission policies on a real API server, asked by impersonated users. They
//! come from the chart, or, where it was not installed, from the files that are generated for it.
//! No operator is needed, and nothing runs.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "end_to_end/action.rs"]
mod action;
#[path = "end_to_end/namespace.rs"]
mod namespace;
#[path = "end_to_end/rights.rs"]
mod rights;

#[path = "who/deeds.rs"]
mod deeds;
#[path = "who/person.rs"]
mod person;
#[path = "who/policies.rs"]
mod policies;
#[path = "who/table.rs"]
mod table;

#[path = "who/action_policy.rs"]
mod action_policy;
#[path = "who/changes.rs"]
mod changes;
#[path = "who/latest.rs"]
mod latest;
#[path = "who/matrix.rs"]
mod matrix;
#[path = "who/operator.rs"]
mod operator;
#[path = "who/releases.rs"]
mod releases;
#[path = "who/requester.rs"]
mod requester;
#[path = "who/templates.rs"]
mod templates;
