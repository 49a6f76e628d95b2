//! `kubectl longshore wait`: until the latest run of an action has ended.

use clap::{Args, ValueEnum};

use super::{
    act::place,
    connect::{Session, Timeout},
    error::CliError,
    terminal::{lines, print},
    view::verdict::{Settled, Verdict},
    wait_for::{found, within},
};
use crate::api::DeploymentAction;

/// Waits until the latest run of an action, as the action is now, has ended.
#[derive(Debug, Args)]
pub(super) struct Wait {
    /// The action's name.
    name: String,
    /// What to wait for. With `succeeded`, the command fails as soon as the run has ended otherwise.
    #[arg(long = "for", value_enum, value_name = "END", default_value_t = Goal::Finished)]
    goal: Goal,
    /// The longest time to wait: seconds, or a time such as 30s or 2m. 0 waits without end, which is the default.
    #[arg(long, value_name = "TIME")]
    timeout: Option<Timeout>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Goal {
    /// The run has ended, in whatever way.
    Finished,
    /// The run has succeeded.
    Succeeded,
}

impl Wait {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let late = || {
            let (name, place) = (&self.name, place(session));
            format!(
                "{name} has not finished in time\nkubectl longshore describe {name}{place} says what it waits for"
            )
        };
        let said = within(self.timeout, late, async {
            let action = session.action(&self.name).await?;
            found(session, action, |action| self.look(action, &place(session))).await
        });
        print(&format!("{}\n", Box::pin(said).await?))
    }

    /// What is reached, or why it will not be. `None` while something is still to come.
    fn look(&self, action: &DeploymentAction, place: &str) -> Result<Option<String>, CliError> {
        let name = &self.name;
        let verdict = match Settled::of(action) {
            Settled::No => return Ok(None),
            Settled::NeverRan => {
                return Err(CliError::Failed(format!(
                    "{name} has had no run, and none is asked for\nkubectl longshore rerun {name}{place} asks for one"
                )));
            }
            Settled::Ended(run) => Verdict::of(action, run),
        };
        // The verdict comes with the end, so that it is missing only if somebody has edited the status.
        let words = verdict.as_ref().map_or_else(|| format!("{name} has finished"), |of| of.words(name));
        let succeeded = verdict.is_some_and(|verdict| verdict.succeeded());
        if self.goal == Goal::Succeeded && !succeeded {
            return Err(CliError::Failed(format!(
                "{}\nkubectl longshore describe {name}{place} says why, and what to do",
                lines(&words)
            )));
        }
        Ok(Some(lines(&words).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{
        api::Reason,
        cli::error::{FAILED, TIMED_OUT},
        operator::testing::{
            objects::{action, ended},
            server::{Answer, server},
        },
    };

    fn wait(goal: Goal) -> Wait {
        Wait { name: "deploy".into(), goal, timeout: Some(Timeout(Some(Duration::from_secs(20)))) }
    }

    #[test]
    fn the_latest_run_is_waited_for_and_its_failure_told_at_once() {
        let (finished, succeeded) = (wait(Goal::Finished), wait(Goal::Succeeded));
        assert_eq!(finished.look(&action(), "").unwrap(), None);
        let failed = ended(Reason::ScriptFailed);
        assert_eq!(
            finished.look(&failed, "").unwrap().as_deref(),
            Some("run 1 of deploy failed (ScriptFailed)")
        );
        let error = succeeded.look(&failed, " -n shop").unwrap_err();
        assert_eq!(error.code(), FAILED);
        insta::assert_snapshot!(error, @r"
        run 1 of deploy failed (ScriptFailed)
        kubectl longshore describe deploy -n shop says why, and what to do
        ");
        let done = ended(Reason::Succeeded);
        assert_eq!(succeeded.look(&done, "").unwrap().as_deref(), Some("run 1 of deploy succeeded"));
    }

    /// A session whose server has the action as it is before and, if there is one, sends the change to a watch.
    fn session(before: &DeploymentAction, change: Option<&DeploymentAction>) -> Session {
        let before = serde_json::to_value(before).unwrap();
        let change = change.map(|change| format!("{}\n", json!({"type": "MODIFIED", "object": change})));
        let (client, _) = server(move |request| match request.path.rsplit_once('/').unwrap().1 {
            "deploy" => Answer::from((200, before.clone())),
            _ if request.query.contains("watch=true") => {
                assert!(request.query.contains("metadata.name%3Ddeploy"), "{}", request.query);
                Answer::hanging(change.as_deref().unwrap_or_default())
            }
            _ => Answer::from((
                200,
                json!({"kind": "DeploymentActionList", "apiVersion": "longshore.dev/v1alpha1",
                    "metadata": {"resourceVersion": "10"}, "items": [before]}),
            )),
        });
        Session { client, namespace: "shop".into(), server: String::new() }
    }

    #[tokio::test]
    async fn a_change_ends_the_wait_and_a_time_does_otherwise() {
        let mut done = ended(Reason::Succeeded);
        done.metadata.resource_version = Some("11".into());
        wait(Goal::Succeeded).run(&session(&action(), Some(&done))).await.unwrap();
        let short = Wait { timeout: Some(Timeout(Some(Duration::from_millis(50)))), ..wait(Goal::Finished) };
        let error = short.run(&session(&action(), None)).await.unwrap_err();
        assert_eq!(error.code(), TIMED_OUT);
        assert!(error.to_string().contains("kubectl longshore describe deploy -n shop"), "{error}");
    }
}
