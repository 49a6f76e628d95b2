//! The rules by which the API server refuses an object at once. Each message says what to write instead.
//!
//! CEL rules run in the API server and cost from a budget. It estimates the cost from `maxLength` and
//! `maxItems` (`apiextensions-apiserver/pkg/apiserver/schema/cel`).

mod bounds;
mod pod;
mod references;
mod rule;
mod scripts;
mod spec;
mod variables;

pub(super) use self::{bounds::*, pod::*, references::*, rule::*, scripts::*, spec::*, variables::*};
pub use self::{references::image_pattern, scripts::MAX_INLINE, spec::IMAGE_S_FOLDER};
