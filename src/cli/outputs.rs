//! `kubectl longshore outputs`: what scripts reported.

use std::{collections::BTreeMap, io::Write};

use clap::Args;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, api::ListParams};
use serde::Serialize;

use super::{
    connect::Session,
    error::CliError,
    lookup::nearest,
    output::Format,
    pages::each,
    table::{Cell, Table},
    terminal::{FAINT, Terminal, line, print, tell},
};
use crate::api::{DeploymentAction, status::OutputsSecret};

/// Prints the outputs of an action's latest run, or of all actions.
#[derive(Debug, Args)]
pub(super) struct Outputs {
    /// The action's name. Default: all actions of the namespace.
    pub(super) name: Option<String>,
    /// Print only the value of this output. A sensitive one is read from its Secret, with your rights.
    key: Option<String>,
    /// Print JSON or YAML.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

/// The outputs of an action.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    action: String,
    outputs: BTreeMap<String, String>,
    /// The names of the outputs that are in a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<OutputsSecret>,
}

impl Reported {
    fn of(action: &DeploymentAction) -> Self {
        let status = action.status.as_ref();
        Self {
            action: action.name_any(),
            outputs: status.map(|status| status.outputs.clone()).unwrap_or_default(),
            secret: status.and_then(|status| status.outputs_secret_ref.clone()),
        }
    }

    fn names(&self) -> Vec<String> {
        let secret = self.secret.iter().flat_map(|secret| secret.keys.iter());
        self.outputs.keys().chain(secret).cloned().collect()
    }
}

impl Outputs {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        match (&self.name, &self.key) {
            (Some(name), Some(key)) => self.one(session, name, key).await,
            (Some(name), None) => {
                let reported = Reported::of(&session.action(name).await?);
                match self.output {
                    Some(form) => print(&form.text(&reported)?),
                    None => show(&[reported], false),
                }
            }
            (None, _) => {
                let mut all = Vec::new();
                each(&session.actions(), ListParams::default(), |action| {
                    let reported = Reported::of(&action);
                    if !reported.names().is_empty() {
                        all.push(reported);
                    }
                })
                .await?;
                match self.output {
                    Some(form) => print(&form.text(&all)?),
                    None => show(&all, true),
                }
            }
        }
    }

    async fn one(&self, session: &Session, name: &str, key: &str) -> Result<(), CliError> {
        let reported = Reported::of(&session.action(name).await?);
        if let Some(value) = reported.outputs.get(key) {
            return write(value.as_bytes());
        }
        if let Some(secret) =
            reported.secret.as_ref().filter(|secret| secret.keys.iter().any(|one| one == key))
        {
            return write(&from_secret(session, secret, key).await?);
        }
        let near = nearest(key, reported.names());
        let near = if near.is_empty() { reported.names() } else { near };
        let others = if near.is_empty() {
            "it has none at all".to_owned()
        } else {
            format!("it has {}", near.join(", "))
        };
        Err(CliError::NotFound(format!("the latest run of {name} has no output {key}: {others}")))
    }
}

async fn from_secret(session: &Session, from: &OutputsSecret, key: &str) -> Result<Vec<u8>, CliError> {
    let secrets: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
    let secret = secrets.get(&from.name).await?;
    if secret.uid().as_deref() != Some(&from.uid) {
        let what = format!("the Secret {} is not the one that the operator made", from.name);
        return Err(CliError::Failed(format!("{what}: run the action again to get its outputs")));
    }
    let value = secret.data.and_then(|mut data| data.remove(key));
    value
        .map(|value| value.0)
        .ok_or_else(|| CliError::NotFound(format!("the Secret {} has no key {key}", from.name)))
}

/// Writes a value as it is. A terminal gets no character that it would act on.
fn write(value: &[u8]) -> Result<(), CliError> {
    if Terminal::stdout().interactive {
        return print(&format!("{}\n", line(&String::from_utf8_lossy(value))));
    }
    let mut out = std::io::stdout().lock();
    out.write_all(value)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

fn show(all: &[Reported], actions: bool) -> Result<(), CliError> {
    let table = table(all, actions);
    if table.is_empty() {
        tell("no outputs");
        return Ok(());
    }
    print(&table.text(&Terminal::stdout(), "", true))
}

fn table(all: &[Reported], actions: bool) -> Table {
    let mut table =
        if actions { Table::new(&["ACTION", "OUTPUT", "VALUE"]) } else { Table::new(&["OUTPUT", "VALUE"]) };
    for of in all {
        let mut add = |name: &str, value: Cell| {
            let mut row = vec![Cell::of(name), value];
            if actions {
                row.insert(0, Cell::of(&of.action));
            }
            table.add(row);
        };
        for (name, value) in &of.outputs {
            add(name, Cell::of(value));
        }
        if let Some(secret) = &of.secret {
            for key in &secret.keys {
                add(key, Cell::styled(format!("(in the Secret {})", secret.name), FAINT));
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::operator::testing::server::server;

    fn action() -> Value {
        json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": "deploy", "namespace": "shop"}, "spec": {},
            "status": {"outputs": {"url": "https://x", "two": "a\nb"},
                "outputsSecretRef": {"name": "deploy-outputs", "uid": "s-1", "keys": ["token"]}}})
    }

    fn session(uid: &'static str) -> Session {
        let (client, _) = server(move |request| match request.path.as_str() {
            path if path.ends_with("/secrets/deploy-outputs") => (
                200,
                json!({"metadata": {"name": "deploy-outputs", "uid": uid}, "data": {"token": "c2VjcmV0"}}),
            ),
            _ => (200, action()),
        });
        Session { client, namespace: "shop".into(), server: String::new() }
    }

    async fn read(uid: &'static str, key: &str) -> Result<Vec<u8>, CliError> {
        let secret = Reported::of(&serde_json::from_value(action()).unwrap()).secret.unwrap();
        from_secret(&session(uid), &secret, key).await
    }

    #[test]
    fn sensitive_outputs_are_named_and_not_shown() {
        let reported = Reported::of(&serde_json::from_value(action()).unwrap());
        insta::assert_snapshot!(table(&[reported], true).text(&Terminal::default(), "", true), @r"
        ACTION   OUTPUT   VALUE
        deploy   two      a\nb
        deploy   url      https://x
        deploy   token    (in the Secret deploy-outputs)
        ");
    }

    #[tokio::test]
    async fn a_sensitive_output_comes_from_the_operator_s_own_secret() {
        assert_eq!(read("s-1", "token").await.unwrap(), b"secret");
        assert!(read("other", "token").await.unwrap_err().to_string().contains("not the one"));
        let outputs = Outputs { name: Some("deploy".into()), key: Some("urk".into()), output: None };
        let error = outputs.run(&session("s-1")).await.unwrap_err();
        assert_eq!(error.to_string(), "the latest run of deploy has no output urk: it has url");
    }
}
