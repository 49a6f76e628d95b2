//! Rights: the admission policies on a real API server, asked by impersonated users. The chart installs the
//! policies; without it the tests apply its generated files. No operator is needed, and nothing runs.

mod deeds;
pub(crate) mod person;
mod policies;
mod table;

mod action_policy;
mod changes;
mod latest;
mod matrix;
mod operator;
mod releases;
mod requester;
mod templates;
mod users;
