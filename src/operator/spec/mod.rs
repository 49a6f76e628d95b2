//! An action as written becomes a checked one: its template is filled in, its values are read, its hashes are
//! computed. Pure: no client, no clock.

pub mod expand;
pub(super) mod expanded;
pub mod hash;
pub(super) mod invalid;
mod pattern;
pub mod policy;
pub(super) mod quantity;
pub(super) mod script_source;
pub(super) mod size;
pub mod validate;
pub(super) mod versions;
