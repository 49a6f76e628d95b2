//! What contributors use: the forms for issues.

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "contributors/forms.rs"]
mod forms;
