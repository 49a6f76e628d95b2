//! A pod's way through a node, in the order in which a kubelet reports it.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch as channel},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Moment, Node, Order, Signal,
    log::Log,
    process,
    status::{End, Known, State, image_id},
    volumes::{self, Folders},
};

const AGAIN: Duration = Duration::from_secs(1);
/// A kubelet's words for a pod that took longer than its spec allows.
const DEADLINE: (&str, &str) =
    ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline");

/// Goes with one pod until the API server has it no more.
pub(super) async fn live(
    node: Arc<Node>,
    watched: channel::Receiver<Arc<Pod>>,
    orders: mpsc::UnboundedReceiver<Order>,
    log: Arc<Mutex<Option<Arc<Log>>>>,
) {
    let folders = Folders::new(&node.options.root, &watched.borrow().uid().unwrap_or_default());
    let known = Known::new(node.clock.clone());
    let mut life = Life { node, watched, orders, log, folders, known, begun: Instant::now() };
    life.run().await;
    life.removed().await;
    life.folders.remove();
}

/// Why a pod is to end that does not end by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The API server has it no more.
    Gone,
    Deleted,
    Deadline,
}

struct Life {
    node: Arc<Node>,
    watched: channel::Receiver<Arc<Pod>>,
    orders: mpsc::UnboundedReceiver<Order>,
    log: Arc<Mutex<Option<Arc<Log>>>>,
    folders: Folders,
    known: Known,
    begun: Instant,
}

impl Life {
    async fn run(&mut self) {
        let pod = self.pod();
        let status = pod.status.as_ref();
        if status.and_then(|status| status.phase.as_deref()).is_some_and(|phase| phase != "Pending") {
            if status.is_some_and(|status| matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))) {
                return;
            }
            // Of a node that had this name before: its processes went with it.
            return self.over(End::unknown(), None).await;
        }
        self.node.pass(Moment::Bound, &pod).await;
        if let Err(stop) = self.prepare().await {
            return self.over(End::unknown(), Some(stop)).await;
        }
        let Some((end, stop)) = self.container().await else { return };
        self.known.state = State::Ended(end.clone());
        sleep(self.node.options.end_delay).await;
        self.report().await;
        sleep(self.node.options.phase_delay).await;
        self.over(end, stop).await;
    }

    fn pod(&self) -> Arc<Pod> {
        Arc::clone(&self.watched.borrow())
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.node.client.clone(), &self.pod().namespace().unwrap_or_default())
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.node.options.keeps_deadlines {
            return None;
        }
        let seconds = self.pod().spec.as_ref()?.active_deadline_seconds?;
        self.begun.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
    }

    fn stop(&self) -> Option<Stop> {
        if self.watched.has_changed().is_err() {
            Some(Stop::Gone)
        } else if self.pod().metadata.deletion_timestamp.is_some() {
            Some(Stop::Deleted)
        } else if self.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            Some(Stop::Deadline)
        } else {
            None
        }
    }

    /// Lets time pass, as long as the pod is wanted.
    async fn pause(&mut self, pause: Duration) -> Result<(), Stop> {
        let end = Instant::now() + pause;
        loop {
            if let Some(stop) = self.stop() {
                return Err(stop);
            }
            let until = self.deadline().map_or(end, |deadline| deadline.min(end));
            tokio::select! {
                () = sleep_until(until) => {
                    if until == end { return Ok(()) }
                }
                // An end of the channel is seen above.
                _ = self.watched.changed() => {}
            }
        }
    }

    /// All that comes before the container's start.
    async fn prepare(&mut self) -> Result<(), Stop> {
        if let Some(stop) = self.stop() {
            return Err(stop);
        }
        self.report().await;
        let pod = self.pod();
        let images = pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|one| one.image.as_deref());
        if let Some(tag) = images.into_iter().find(|image| image_id(image).is_none()) {
            let message = Some(format!("the fake node pulls nothing, and {tag} is named by no digest"));
            self.known.state = State::Waiting { reason: "ErrImagePull", message };
            self.report().await;
            // Until it is not wanted any more.
            loop {
                self.pause(Duration::from_hours(1)).await?;
            }
        }
        while let Err(message) = volumes::lay_out(&self.node.client, &self.pod(), &self.folders).await {
            self.tell("FailedMount", &message).await;
            self.pause(AGAIN).await?;
        }
        self.pause(self.node.options.start_delay).await
    }

    /// The container, from its start to its last end; `None` where nobody asks for it any more.
    async fn container(&mut self) -> Option<(End, Option<Stop>)> {
        loop {
            let pod = self.pod();
            self.node.pass(Moment::Starting, &pod).await;
            let log = Arc::new(Log::new(self.node.clock.clone()));
            let root = self.folders.root();
            let runner = &self.node.options.runner;
            let environment = volumes::environment(&pod);
            let started = process::start(runner, &root, &environment, Arc::clone(&log), &self.node.processes);
            let (process, end) = match started {
                Ok(started) => started,
                Err(error) => {
                    let message = format!("{}: {error}", runner.display());
                    let end = End {
                        at: Some(self.node.clock.time()),
                        exit_code: 128,
                        reason: "StartError".into(),
                        message,
                        ..End::unknown()
                    };
                    return Some((end, None));
                }
            };
            *self.log.lock().unwrap() = Some(log);
            let since = self.node.clock.time();
            self.known.state = State::Running { since: since.clone() };
            self.node.pass(Moment::Running, &pod).await;
            self.report().await;
            let Ending { status, stop, reason, mut again } = self.watch_over(&process, end).await?;
            self.node.pass(Moment::Ended, &pod).await;
            while let Ok(order) = self.orders.try_recv() {
                again |= matches!(order, Order::Restart);
            }
            let at = self.node.clock.time();
            let end = End::of(status, (since, at), reason, self.folders.termination_message());
            if !again || stop.is_some() {
                return Some((end, stop));
            }
            self.known.last = Some(end);
            self.known.restarts += 1;
            self.folders.fresh_termination_log().ok()?;
        }
    }

    /// Until the container's process has ended.
    async fn watch_over(
        &mut self,
        process: &process::Process,
        mut end: tokio::sync::oneshot::Receiver<std::process::ExitStatus>,
    ) -> Option<Ending> {
        let (mut stop, mut reason, mut again) = (None, None, false);
        let mut kill_at: Option<Instant> = None;
        loop {
            let wanted = self.stop();
            if let Some(why) = wanted {
                let grace = self.grace(why);
                if stop.is_none() {
                    process.signal(Signal::SIGTERM);
                }
                // A later deletion may allow less.
                if stop != wanted || why == Stop::Deleted {
                    let at = Instant::now() + grace;
                    kill_at = Some(kill_at.map_or(at, |before| before.min(at)));
                }
                stop = stop.filter(|before| *before == Stop::Deadline).or(wanted);
            }
            let gone = wanted == Some(Stop::Gone);
            let deadline = self.deadline().filter(|_| stop.is_none());
            tokio::select! {
                status = &mut end => {
                    // Without a status the node itself is at its end.
                    let status = status.ok()?;
                    return (!gone).then_some(Ending { status, stop, reason, again });
                }
                changed = self.watched.changed(), if !gone => {
                    if changed.is_ok() {
                        volumes::refresh(&self.pod(), &self.folders);
                    }
                }
                Some(order) = self.orders.recv(), if !gone => match order {
                    Order::Signal(signal) => process.signal(signal),
                    Order::Kill(why) => {
                        reason = Some(why);
                        process.signal(Signal::SIGKILL);
                    }
                    Order::Restart => {
                        again = true;
                        process.signal(Signal::SIGKILL);
                    }
                },
                () = at(kill_at) => {
                    kill_at = None;
                    process.signal(Signal::SIGKILL);
                }
                () = at(deadline) => {}
            }
        }
    }

    fn grace(&self, why: Stop) -> Duration {
        let pod = self.pod();
        let of_spec = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let of_deletion = pod.metadata.deletion_grace_period_seconds.filter(|_| why == Stop::Deleted);
        Duration::from_secs(of_deletion.or(of_spec).unwrap_or(30).try_into().unwrap_or_default())
    }

    /// Nothing more comes of the pod.
    async fn over(&mut self, end: End, stop: Option<Stop>) {
        self.known.state = State::Ended(end);
        self.known.reason = (stop == Some(Stop::Deadline)).then_some(DEADLINE);
        self.known.over = true;
        self.report().await;
        let pod = self.pod();
        self.node.pass(Moment::Reported, &pod).await;
    }

    /// Tells the API server what is known, until it has heard or knows the pod no more.
    async fn report(&self) {
        let (pod, api) = (self.pod(), self.api());
        let patch = Patch::Strategic(self.known.patch(&pod));
        loop {
            self.node.online().await;
            match api.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await {
                Ok(_) => return,
                // It is gone, or another one has its name.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
                Err(error) => eprintln!("fake node: status of {}: {error}", pod.name_any()),
            }
            if self.stop() == Some(Stop::Gone) {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    async fn tell(&self, reason: &str, message: &str) {
        let pod = self.pod();
        let namespace = pod.namespace().unwrap_or_default();
        let at = self.node.clock.now();
        let event = json!({
            "metadata": {"generateName": format!("{}.", pod.name_any())},
            "involvedObject": pod.object_ref(&()),
            "type": "Warning", "reason": reason, "message": message, "count": 1,
            "firstTimestamp": at, "lastTimestamp": at,
            "source": {"component": "kubelet", "host": self.node.options.name},
        });
        let events: Api<Event> = Api::namespaced(self.node.client.clone(), &namespace);
        let event = serde_json::from_value(event).expect("an event");
        self.node.online().await;
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            eprintln!("fake node: event of {}: {error}", pod.name_any());
        }
    }

    /// The node keeps an ended pod until somebody deletes it.
    async fn removed(&mut self) {
        let mut let_go = false;
        while self.stop() != Some(Stop::Gone) {
            let pod = self.pod();
            // With no grace and no finalizer it is gone in a moment.
            let goes = pod.metadata.deletion_grace_period_seconds == Some(0) && pod.finalizers().is_empty();
            if pod.metadata.deletion_timestamp.is_some() && !let_go && !goes {
                self.node.online().await;
                let uid = pod.uid();
                let now = DeleteParams {
                    preconditions: Some(Preconditions { uid, ..Preconditions::default() }),
                    ..DeleteParams::default().grace_period(0)
                };
                match self.api().delete(&pod.name_any(), &now).await {
                    Ok(_) => let_go = true,
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => let_go = true,
                    Err(error) => {
                        eprintln!("fake node: deleting {}: {error}", pod.name_any());
                        sleep(AGAIN).await;
                        continue;
                    }
                }
            }
            // Its end is seen above.
            let _ = self.watched.changed().await;
        }
    }
}

/// How the container's process ended.
struct Ending {
    status: std::process::ExitStatus,
    stop: Option<Stop>,
    /// The status' words about it, if they differ from the exit code's.
    reason: Option<String>,
    again: bool,
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
