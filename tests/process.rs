//! Tests that need more than a function and no cluster: the runner and the fetcher as processes, and claims
//! about the tests themselves.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod claims;
mod fetch;
mod runner;
