//! The rows of the table.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use crate::Result;

/// Whether a figure is as wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wanted {
    Nothing,
    Reached(bool),
}

pub(crate) struct Table(File);

impl Table {
    /// Appends to this file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self(File::options().create(true).append(true).open(path)?))
    }

    pub(crate) fn row(&mut self, what: &str, measured: &str, wanted: &str, is_it: Wanted) -> Result<()> {
        let (verdict, load) = match is_it {
            Wanted::Nothing => ("", load()?),
            Wanted::Reached(true) => ("reached", load()?),
            Wanted::Reached(false) => ("**not reached**", load()?),
        };
        let row = format!("| {what} | {measured} | {wanted} | {verdict} | {load} |");
        println!("{row}");
        writeln!(self.0, "{row}")?;
        Ok(())
    }
}

/// The machine's, over a minute.
fn load() -> Result<String> {
    Ok(fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned())
}
