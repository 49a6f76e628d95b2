//! Tests that need more than a function and no cluster: the runner and the fetcher as processes, the archive on
//! an S3 server, claims about the tests themselves, and what contributors use.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod archive;
mod claims;
mod contributors;
mod fetch;
mod operator_process;
mod runner;
