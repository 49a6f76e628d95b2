//! The operator's own figures, from its metrics: memory, CPU time, and the time of each step.

use std::collections::BTreeMap;

use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{Result, samples::count};

const NAMESPACE: &str = "longshore-system";
/// In the order in which they follow each other; `script` is a part of `follow`, and `collect` ends
/// after the verdict or with it.
pub(crate) const STEPS: [&str; 5] = ["resolve", "launch", "start", "follow", "finish"];

/// One reading of the metrics.
#[derive(Debug, Clone)]
pub(crate) struct Reading(BTreeMap<String, f64>);

impl Reading {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(values.collect())
    }

    fn value(&self, name: &str) -> Result<f64> {
        let value = self.0.get(name).copied();
        value.ok_or_else(|| format!("the operator's metrics have no {name}: is it this version's?").into())
    }

    /// Runs that have ended, whatever came of them.
    fn finished(&self) -> f64 {
        let runs = self.0.iter().filter(|(name, _)| name.starts_with("longshore_runs_total{"));
        runs.map(|(_, value)| value).sum()
    }

    /// A series begins with its first observation.
    fn phase(&self, what: &str, phase: &str) -> f64 {
        let name = format!("longshore_run_phase_seconds_{what}{{phase=\"{phase}\"}}");
        self.0.get(&name).copied().unwrap_or_default()
    }
}

/// While so many actions ran.
pub(crate) struct Part {
    pub(crate) what: String,
    pub(crate) actions: usize,
    /// From creation to the end that the client saw, in seconds.
    pub(crate) mean: f64,
    /// Of each step, the mean in seconds.
    pub(crate) steps: [f64; STEPS.len()],
    /// The script's own time, by the runner's clock.
    pub(crate) script: f64,
    /// Of the operator, in seconds.
    pub(crate) cpu: f64,
    /// When it was over.
    pub(crate) resident: f64,
}

/// Memory is in bytes.
pub(crate) struct Measured {
    pub(crate) resident_before: f64,
    pub(crate) parts: Vec<Part>,
    pub(crate) resident_after: f64,
}

pub(crate) struct Operator {
    client: Client,
    pod: String,
    begun: Reading,
    resident_before: f64,
    parts: Vec<Part>,
}

impl Operator {
    /// The one that leads.
    pub(crate) async fn find(client: &Client) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let labels =
            ListParams::default().labels("app.kubernetes.io/name=longshore").fields("status.phase=Running");
        for pod in pods.list(&labels).await? {
            let pod = pod.name_any();
            let reading = read(client, &pod).await?;
            if reading.value("longshore_leader").is_ok_and(|leads| leads > 0.0) {
                let resident_before = reading.value("process_resident_memory_bytes")?;
                let client = client.clone();
                return Ok(Self { client, pod, begun: reading, resident_before, parts: Vec::new() });
            }
        }
        Err(format!("no operator leads in {NAMESPACE}: is it installed (make deploy)?").into())
    }

    /// Actions begin to run.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        self.begun = read(&self.client, &self.pod).await?;
        Ok(())
    }

    /// So many have ended since; `mean` is what the client saw of them.
    pub(crate) async fn end(&mut self, what: String, actions: usize, mean: f64) -> Result<()> {
        let now = read(&self.client, &self.pod).await?;
        let step = |phase: &str| {
            let seen = now.phase("count", phase) - self.begun.phase("count", phase);
            (now.phase("sum", phase) - self.begun.phase("sum", phase), seen)
        };
        // Not by a step: a run whose verdict did not come by the log has no `follow` and `finish`.
        let finished = now.finished() - self.begun.finished();
        if (finished - count(actions)).abs() > 0.5 {
            return Err(format!("{finished} runs ended while {actions} actions were measured").into());
        }
        let mean_of = |phase: &str| {
            let (sum, seen) = step(phase);
            if seen > 0.0 { sum / seen } else { 0.0 }
        };
        let cpu = "process_cpu_seconds_total";
        self.parts.push(Part {
            what,
            actions,
            mean,
            steps: STEPS.map(mean_of),
            script: mean_of("script"),
            cpu: now.value(cpu)? - self.begun.value(cpu)?,
            resident: now.value("process_resident_memory_bytes")?,
        });
        Ok(())
    }

    /// # Errors
    /// Also where it was started again meanwhile: its figures would be of two processes.
    pub(crate) async fn finish(self) -> Result<Measured> {
        let now = read(&self.client, &self.pod).await?;
        let started = "process_start_time_seconds";
        // The kernel's boot time is counted in whole seconds, and may be off by one.
        if (now.value(started)? - self.begun.value(started)?).abs() > 1.5 {
            return Err("the operator was started again during the benchmark".into());
        }
        Ok(Measured {
            resident_before: self.resident_before,
            parts: self.parts,
            resident_after: now.value("process_resident_memory_bytes")?,
        })
    }
}

/// Through the API server, so that it works from outside the cluster.
async fn read(client: &Client, pod: &str) -> Result<Reading> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics");
    let text = client.request_text(Request::get(path).body(Vec::new())?).await?;
    Ok(Reading::parse(&text))
}
