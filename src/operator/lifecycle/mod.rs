//! The life of an action: facts, requests, verdict, status, and `decide`. Pure: no client, no clock.

pub mod cause;
pub mod decide;
pub mod facts;
mod hints;
mod last_words;
pub mod lock_facts;
pub mod requests;
pub(super) mod smaller_status;
pub mod status;
mod testimony;
pub(super) mod verdict;
pub mod whole_seconds;
