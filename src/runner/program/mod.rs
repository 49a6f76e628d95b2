//! Prepares the script's text, finds the program that runs it, and starts it.

mod elf;
pub(super) mod find;
pub(super) mod interpreter;
pub(super) mod line_endings;
pub(super) mod script;
mod shebang;
pub(super) mod start;
