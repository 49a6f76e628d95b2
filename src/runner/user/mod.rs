//! The user that the script runs as: what the image knows about it, and what programs are told where the image
//! knows too little.

pub(super) mod nscd;
pub(super) mod passwd;
pub(super) mod replaced;
