//! `kubectl longshore version`: the versions of plugin, operator and API server.

use clap::Args;
use serde::Serialize;

use super::{
    check::{VERSION, deployments, version},
    connect::{Connection, Session},
    error::CliError,
    output::Format,
    terminal::{line, print},
};

/// Prints the versions of the plugin, the operator and the API server.
#[derive(Debug, Args)]
pub(super) struct VersionOf {
    /// Print only the plugin's version. The cluster is not asked.
    #[arg(long)]
    client: bool,
    /// Print JSON or YAML.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

#[derive(Debug, Serialize)]
struct Versions {
    plugin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

impl VersionOf {
    pub(super) async fn run(&self, connection: &Connection) -> Result<(), CliError> {
        let mut versions = Versions { plugin: VERSION, operator: None, server: None };
        if !self.client {
            let session = connection.session().await?;
            let asked = Self::ask(&session, &mut versions).await;
            asked.map_err(|error| error.at(&session.server))?;
        }
        if let Some(form) = self.output {
            return print(&form.text(&versions)?);
        }
        let mut text = format!("plugin: {}\n", versions.plugin);
        if !self.client {
            let operator = versions.operator.as_deref().unwrap_or("not seen");
            let server = versions.server.as_deref().unwrap_or("not told");
            text.push_str(&format!("operator: {}\nAPI server: {}\n", line(operator), line(server)));
        }
        print(&text)
    }

    async fn ask(session: &Session, versions: &mut Versions) -> Result<(), CliError> {
        versions.server = Some(session.client.apiserver_version().await?.git_version);
        let found = deployments(session).await?.unwrap_or_default();
        versions.operator = found.first().and_then(version).map(str::to_owned);
        Ok(())
    }
}
