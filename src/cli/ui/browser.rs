//! Opens the page in the person's browser.

use std::process::{Command, Stdio};

/// The program that opens an address.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

/// Opens an address. That there is no browser is no error: the address is printed.
pub(super) fn open(address: &str) {
    let (nothing, silent, quiet) = (Stdio::null(), Stdio::null(), Stdio::null());
    drop(Command::new(OPENER).arg(address).stdin(nothing).stdout(silent).stderr(quiet).spawn());
}
