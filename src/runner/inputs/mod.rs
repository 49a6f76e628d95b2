//! What a script is given: the bundle that says it, and the variables, files and folders made of it.

pub(super) mod bundle;
pub(super) mod environment;
mod files;
pub(super) mod folders;
mod mounted;
mod whole_objects;
pub(super) mod working_dir;
