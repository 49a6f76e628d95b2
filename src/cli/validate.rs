//! `kubectl longshore validate`: whether the cluster would accept objects, with all that is wrong.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{
    connect::Session,
    documents::{Document, read},
    error::{CliError, REFUSED},
    output::Format,
    terminal::{BAD, FAINT, GOOD, Terminal, line, lines, print},
    trial::{blocked, faults, try_out},
};

/// Checks objects as the API server and the operator would, and stores nothing.
#[derive(Debug, Args)]
pub(super) struct Validate {
    /// The files or folders with the objects. `-` is standard input.
    #[arg(short, long, value_name = "FILE", required = true, value_delimiter = ',')]
    filename: Vec<PathBuf>,
    /// Print JSON or YAML.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

/// What is wrong with an object.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    kind: String,
    name: String,
    place: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    Valid,
    Refused,
    /// It is not one of Longshore's kinds.
    Unchecked,
}

impl Validate {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let mut reports = Vec::new();
        for document in read(&self.filename)? {
            reports.push(report(session, &document).await?);
        }
        print(&match self.output {
            Some(form) => form.text(&reports)?,
            None => reports.iter().map(|report| text(report, &Terminal::stdout())).collect(),
        })?;
        if reports.iter().any(|report| report.verdict == Verdict::Refused) {
            return Err(CliError::Ended(REFUSED));
        }
        Ok(())
    }
}

async fn report(session: &Session, document: &Document) -> Result<Report, CliError> {
    let of = |verdict, faults| Report {
        kind: document.kind().to_owned(),
        name: document.name().to_owned(),
        place: document.place.clone(),
        verdict,
        faults,
    };
    let Some(path) = document.path(session) else { return Ok(of(Verdict::Unchecked, Vec::new())) };
    let tried = match try_out(session, document, &path).await {
        Ok(tried) => tried,
        // Of the other objects nothing is said any more: it would be the same.
        Err(
            error @ (CliError::Unreachable { .. } | CliError::Unauthorized(_) | CliError::NotInstalled(_)),
        ) => return Err(error),
        Err(error) => return Ok(of(Verdict::Refused, faults(&error))),
    };
    if document.kind() != "DeploymentAction" {
        return Ok(of(Verdict::Valid, Vec::new()));
    }
    let action = match serde_json::from_value(tried.after) {
        Ok(action) => action,
        Err(error) => {
            let what = format!("this plugin cannot read it ({error}): update the plugin");
            return Ok(of(Verdict::Refused, vec![what]));
        }
    };
    Ok(match blocked(session, &action).await {
        Ok(None) => of(Verdict::Valid, Vec::new()),
        Ok(Some((reason, message))) => {
            let each = message.split("; ").map(str::to_owned);
            of(Verdict::Refused, std::iter::once(format!("{reason}")).chain(each).collect())
        }
        // Who may not read the template may still be allowed to use it.
        Err(CliError::Forbidden(denied)) => {
            of(Verdict::Valid, vec![format!("not compared with its template: {denied}")])
        }
        Err(error) => return Err(error),
    })
}

/// What is wrong with an object, or none if it is not one of Longshore's kinds.
pub(super) async fn faults_of(
    session: &Session,
    document: &Document,
) -> Result<Option<Vec<String>>, CliError> {
    let report = report(session, document).await?;
    Ok(match report.verdict {
        Verdict::Valid => Some(Vec::new()),
        Verdict::Refused => Some(report.faults),
        Verdict::Unchecked => None,
    })
}

fn text(of: &Report, terminal: &Terminal) -> String {
    let (style, word) = match of.verdict {
        Verdict::Valid => (GOOD, "valid"),
        Verdict::Refused => (BAD, "refused"),
        Verdict::Unchecked => (FAINT, "not checked: not one of Longshore's kinds"),
    };
    let mut text = format!(
        "{} {} ({}): {}\n",
        line(&of.kind),
        line(&of.name),
        line(&of.place),
        terminal.paint(style, word)
    );
    for fault in &of.faults {
        for fault_line in lines(fault).lines() {
            text.push_str(&format!("  {fault_line}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::operator::testing::server::{failure, server};

    fn document(spec: &Value) -> Document {
        let object = json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": "deploy"}, "spec": spec});
        Document { place: "f.yaml".into(), object }
    }

    /// What is said of an action, if the server has these answers for the action and for its template.
    async fn said(spec: Value, stored: (u16, Value), template: (u16, Value)) -> String {
        let body = spec.clone();
        let (client, seen) = server(move |request| match request.path.rsplit_once('/').unwrap() {
            (_, "release") => template.clone(),
            _ if request.method == "POST" && stored.0 == 200 => {
                let mut object = document(&body).object;
                object["metadata"]["namespace"] = "shop".into();
                object["metadata"]["uid"] = "u-1".into();
                (200, object)
            }
            _ if request.method == "POST" => stored.clone(),
            _ => {
                let (code, mut status) = failure(404, "NotFound", "not found");
                status["details"] = json!({"name": "deploy"});
                (code, status)
            }
        });
        let session = Session { client, namespace: "shop".into(), server: String::new() };
        let report = report(&session, &document(&spec)).await.unwrap();
        for request in seen.lock().unwrap().iter().filter(|request| request.method == "POST") {
            for part in ["dryRun=All", "fieldManager=longshore-cli", "fieldValidation=Strict"] {
                assert!(request.query.contains(part), "{}", request.query);
            }
        }
        text(&report, &Terminal::default())
    }

    #[tokio::test]
    async fn every_mistake_of_an_action_and_its_template_is_told() {
        let template = json!({"metadata": {"name": "release", "uid": "t"}, "spec": {"image": "r/t:1",
            "script": {"inline": "true"}, "parameters": [{"name": "A", "required": true},
                {"name": "B", "type": "Integer"}]}});
        let spec = json!({"templateRef": {"name": "release"},
            "parameters": [{"name": "B", "value": "x"}, {"name": "C", "value": "1"}]});
        let text = said(spec.clone(), (200, Value::Null), (200, template)).await;
        assert!(
            text.starts_with("DeploymentAction deploy (f.yaml): refused\n  ParametersInvalid\n"),
            "{text}"
        );
        let told: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(told.len(), 3, "{text}");
        for parameter in ["A", "B", "C"] {
            assert!(told.iter().any(|line| line.contains(&format!("parameter {parameter}"))), "{text}");
        }
        let denied = failure(
            403,
            "Forbidden",
            r#"x is forbidden: User "a" cannot get resource "deploymentactiontemplates" in API group "longshore.dev" in the namespace "shop""#,
        );
        let text = said(spec, (200, Value::Null), denied).await;
        assert!(text.contains(": valid\n  not compared with its template"), "{text}");
    }

    #[tokio::test]
    async fn what_the_server_says_is_shown() {
        let refused = failure(422, "Invalid", "deploy is invalid: [spec.image: no tag, spec.lock: no name]");
        let text = said(json!({}), refused, (404, Value::Null)).await;
        assert_eq!(
            text,
            "DeploymentAction deploy (f.yaml): refused\n  deploy is invalid\n  spec.image: no tag\n  spec.lock: no name\n"
        );
        let valid = said(
            json!({"image": "r/t:1", "script": {"inline": "true"}}),
            (200, Value::Null),
            (404, Value::Null),
        );
        assert_eq!(valid.await, "DeploymentAction deploy (f.yaml): valid\n");
    }
}
