//! What is executed: the script's text made plain, the program that runs it, and how that is started.

mod elf;
pub(super) mod find;
pub(super) mod interpreter;
pub(super) mod line_endings;
pub(super) mod script;
mod shebang;
pub(super) mod start;
