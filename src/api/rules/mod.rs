//! What the API server refuses at once, with words that say what to write instead.
//!
//! CEL rules run in the API server and cost from a budget, which is estimated from `maxLength` and
//! `maxItems`: see `apiextensions-apiserver/pkg/apiserver/schema/cel`.

mod bounds;
mod pod;
mod references;
mod rule;
mod scripts;
mod spec;
mod variables;

pub(super) use self::{bounds::*, pod::*, references::*, rule::*, scripts::*, spec::*, variables::*};
pub use self::{references::image_pattern, scripts::MAX_INLINE, spec::IMAGE_S_FOLDER};
