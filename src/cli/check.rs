//! `kubectl longshore check`: whether Longshore works here, and what you may do with it.

mod finding;
mod installation;
mod rights;

use std::path::PathBuf;

use clap::Args;

use self::finding::{Finding, Verdict};
pub(super) use self::installation::{VERSION, deployments, version};
use super::{
    connect::Session,
    documents::read,
    error::{CliError, FORBIDDEN, REFUSED},
    output::Format,
    table::{Cell, Table, style},
    terminal::{TITLE, Terminal, lines, print},
    validate,
    view::summary::Tone,
};

/// Checks whether the operator is up, whether its policies are in place and its version fits, and what you may do in
/// this namespace.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Check too whether you could apply these files. `-` is standard input.
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    filename: Vec<PathBuf>,
    /// Print JSON or YAML.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

impl Check {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let user = rights::user(session).await?;
        let mut findings = installation::findings(session).await?;
        // Without the kinds no right on them means anything.
        if findings.iter().all(|finding| finding.what != "kinds" || finding.verdict == Verdict::Ok) {
            findings.extend(rights::findings(session, &user).await?);
            if !self.filename.is_empty() {
                findings.extend(self.files(session).await?);
            }
        }
        print(&match self.output {
            Some(form) => form.text(&findings)?,
            None => text(&findings, &user, &session.namespace, &Terminal::stdout()),
        })?;
        match findings.iter().find(|finding| finding.verdict == Verdict::Bad) {
            Some(bad) => Err(CliError::Ended(bad.code)),
            None => Ok(()),
        }
    }

    async fn files(&self, session: &Session) -> Result<Vec<Finding>, CliError> {
        let mut findings = Vec::new();
        for document in read(&self.filename)? {
            let what = format!("{} {}", document.kind(), document.name());
            findings.push(match validate::faults_of(session, &document).await? {
                None => Finding::new(&what, Verdict::Unknown, "not one of Longshore's kinds"),
                Some(faults) if faults.is_empty() => Finding::new(&what, Verdict::Ok, "you can apply it"),
                Some(faults) => {
                    let code = if faults[0].contains(" may not ") { FORBIDDEN } else { REFUSED };
                    Finding::new(&what, Verdict::Bad, "you cannot apply it")
                        .next(faults.join("\n"))
                        .code(code)
                }
            });
        }
        Ok(findings)
    }
}

fn text(findings: &[Finding], user: &str, namespace: &str, terminal: &Terminal) -> String {
    let mut table = Table::new(&["CHECK", "ANSWER", "DETAILS"]);
    for finding in findings {
        let (word, tone) = match finding.verdict {
            Verdict::Ok => ("ok", Tone::Good),
            Verdict::Note => ("note", Tone::Busy),
            Verdict::Unknown => ("not seen", Tone::Quiet),
            Verdict::Bad => ("no", Tone::Bad),
        };
        table.add(vec![Cell::of(&finding.what), Cell::styled(word, style(tone)), Cell::of(&finding.message)]);
    }
    let mut text = terminal.paint(TITLE, &format!("{} in the namespace {}", lines(user), lines(namespace)));
    text.push('\n');
    text.push_str(&table.text(terminal, "", true));
    for finding in findings {
        if let Some(next) = &finding.next {
            text.push_str(&format!("{}\n", terminal.paint(TITLE, &format!("{}:", lines(&finding.what)))));
            for next_line in lines(next).lines() {
                text.push_str(&format!("  {next_line}\n"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
