//! Times as statuses have them.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    jiff::{SignedDuration, Timestamp},
};

/// `now` in whole seconds, as the API server stores it.
#[must_use]
pub fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// `then` in whole seconds, as the API server stores it, and never earlier than `then`.
#[must_use]
pub fn rounded_up(then: Timestamp) -> Time {
    let whole = seconds(then).0;
    if whole == then {
        Time(whole)
    } else {
        Time(whole.saturating_add(SignedDuration::from_secs(1)).unwrap_or(then))
    }
}
