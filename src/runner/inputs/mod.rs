//! Reads the bundle, and prepares the variables, files and folders that it gives the script.

pub(super) mod bundle;
pub(super) mod environment;
mod files;
pub(super) mod folders;
mod mounted;
mod whole_objects;
pub(super) mod working_dir;
