//! What contributors use: the forms for issues, and the search for a test by its name.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "contributors/find_test.rs"]
mod find_test;
#[path = "contributors/forms.rs"]
mod forms;
