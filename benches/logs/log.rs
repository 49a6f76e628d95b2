//! An action with a long log, and what was read of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::{Api, api::PostParams};
use longshore::api::{
    ConditionType, DeploymentAction,
    status::{LogState, LogStatus},
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    Result, Scene,
    writer::{Writer, Wrote},
};

/// No log may take longer.
const LIMIT: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The log of an action that has ended.
pub(crate) struct Log {
    pub(crate) status: LogStatus,
    /// When this program saw that nothing more would be read.
    seen: f64,
}

impl Log {
    /// Whether every byte was read.
    pub(crate) fn is_whole(&self, writer: &Writer) -> bool {
        let LogStatus { state, lines, sha256, tail, .. } = &self.status;
        let last = tail.lines().last().unwrap_or_default();
        *state == LogState::Complete
            && *lines == writer.all_lines()
            && sha256.as_ref() == Some(&writer.sha256(last))
    }

    /// `None` if the last line was not read.
    pub(crate) fn wrote(&self) -> Option<Wrote> {
        Wrote::parse(self.status.tail.lines().last()?)
    }

    /// Seconds from the script's first to its last line. Not a number if the last one was not read.
    pub(crate) fn seconds(&self) -> f64 {
        self.wrote().map_or(f64::NAN, Wrote::seconds)
    }

    /// Seconds from the script's last line to the end of its log in the status. The node has this machine's clock.
    pub(crate) fn rest(&self) -> f64 {
        self.wrote().map_or(f64::NAN, |wrote| self.seen - wrote.ended)
    }
}

impl Scene {
    pub(crate) fn actions(&self) -> Api<DeploymentAction> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn create(&self, name: &str, script: &str) -> Result<()> {
        let action = serde_json::from_value(json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction", "metadata": {"name": name},
            "spec": {"image": self.image, "script": {"inline": script}},
        }))?;
        self.actions().create(&PostParams::default(), &action).await?;
        Ok(())
    }

    /// Waits until the script's container runs.
    pub(crate) async fn started(&self, name: &str) -> Result<()> {
        self.wait(name, |action| {
            let run = action.status.as_ref()?.run.as_ref()?;
            run.started_at.as_ref().map(|_| ())
        })
        .await
    }

    /// Waits for the verdict, and until no more is read of the log.
    pub(crate) async fn log(&self, name: &str) -> Result<Log> {
        self.wait(name, read).await
    }

    async fn wait<T>(&self, name: &str, is: impl Fn(&DeploymentAction) -> Option<T>) -> Result<T> {
        let actions = self.actions();
        let waiting = async {
            loop {
                // An operator or a node that is away on purpose is no reason to give up.
                if let Ok(action) = actions.get(name).await
                    && let Some(found) = is(&action)
                {
                    return found;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        timeout(LIMIT, waiting).await.map_err(|_| format!("waited in vain for action {name}").into())
    }
}

/// The log, if no more is read of it.
pub(crate) fn read(action: &DeploymentAction) -> Option<Log> {
    let status = action.status.as_ref()?;
    let log = status.log.as_ref().filter(|log| log.state != LogState::Collecting)?;
    status.conditions().is_true(ConditionType::Finished).then(|| Log { status: log.clone(), seen: now() })
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
