//! `kubectl longshore describe`: what a colleague would say about an action.

pub(super) mod found;
mod text;

use clap::Args;
use k8s_openapi::jiff::Timestamp;

use self::found::Found;
use super::{
    connect::Session,
    error::CliError,
    terminal::{Terminal, print},
};

/// Says what runs or ran, how long it took, how it ended and what to do.
#[derive(Debug, Args)]
pub(super) struct Describe {
    /// The action's name.
    pub(super) name: String,
    /// How many of the log's last lines to show.
    #[arg(long, value_name = "LINES", default_value_t = 10)]
    tail: usize,
}

impl Describe {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let found = Found::read(session, &self.name).await?;
        print(&text::of(&found, self.tail, Timestamp::now(), &Terminal::stdout()))
    }
}

#[cfg(test)]
mod tests;
