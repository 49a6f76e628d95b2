//! The user that the script runs as: how the image names it, and what programs learn about it if the image
//! does not know it.

pub(super) mod nscd;
pub(super) mod passwd;
pub(super) mod replaced;
