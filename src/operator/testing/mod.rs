//! Parts that unit tests of the operator share.

pub(crate) mod objects;
pub(crate) mod server;
