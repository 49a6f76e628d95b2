//! A run without a pod. The operator freezes what it executes, or says why that is not possible.

use std::ops::ControlFlow;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    cancel,
    clocks::pending_deadline,
    frozen::{freeze, held_back, key_id},
    lock,
    step::{Step, write_or},
};
use crate::{
    api::{
        DeploymentActionStatus, Reason,
        packages::PackageStatus,
        status::{ImageStatus, Launcher, RunStatus},
    },
    operator::{
        lifecycle::{
            facts::{Facts, Resolution, Resolver},
            status::{progress, terminal},
            verdict::Verdict,
        },
        pod::{names, security},
        spec::{policy::Standing, validate::Checked},
    },
    registry::ImageUser,
};

/// How often to look again if no event causes a look.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// Takes up a run without a pod: freezes what it executes, or says why that is not possible.
pub(super) fn begin(facts: &Facts<'_>, now: Timestamp, run: RunStatus) -> Step {
    if run.cancel_requested_at.is_some() || facts.requests.cancels(&run) {
        let verdict = cancel::before_start();
        return Step::WriteStatus(Box::new(terminal(&facts.requests, now, &verdict, run, None, None)));
    }
    let checked = match facts.spec {
        Ok(checked) => checked,
        Err(blocked) => {
            let (reason, message) = blocked.words();
            let run = match lock::gate(facts, now, run.clone()) {
                ControlFlow::Break(step) if blocked.may_pass() => return step,
                ControlFlow::Break(_) => run,
                ControlFlow::Continue(run) => run,
            };
            let deadline = pending_deadline(facts, &run, now);
            if blocked.may_pass() && now < deadline {
                // Files that are applied together arrive in any order.
                let wanted = progress(&facts.requests, now, reason, message, run, None, None);
                let again = now.saturating_add(LOOK_AGAIN).unwrap_or(deadline).min(deadline);
                return write_or(facts, wanted, || Step::until(again, now));
            }
            let verdict = Verdict::of(reason, message);
            return Step::WriteStatus(Box::new(terminal(&facts.requests, now, &verdict, run, None, None)));
        }
    };
    // A run that is refused anyway need not wait for a lock.
    let refused = matches!(facts.standing, Standing::Refused(_));
    let run = match lock::gate(facts, now, run.clone()) {
        ControlFlow::Break(step) if !refused => return step,
        ControlFlow::Break(_) => run,
        ControlFlow::Continue(run) => run,
    };
    let deadline = pending_deadline(facts, &run, now);
    Beginning { facts, now, run, checked, deadline }.step()
}

struct Beginning<'a> {
    facts: &'a Facts<'a>,
    now: Timestamp,
    run: RunStatus,
    checked: &'a Checked,
    deadline: Timestamp,
}

impl Beginning<'_> {
    fn step(&self) -> Step {
        if let Standing::Refused(message) = &self.facts.standing {
            return self.end(Reason::PolicyViolated, message);
        }
        if let Some((reason, message)) = held_back(self.facts, self.checked, &self.run) {
            return self.hold(reason, &message);
        }
        match &self.facts.resolution {
            Some(Resolution::Resolved {
                pinned,
                platform_digest,
                config_digest,
                user,
                packages,
                script_sha256,
            }) => {
                let image = ImageStatus {
                    requested: self.checked.requested.clone(),
                    resolved: pinned.clone(),
                    platform_digest: platform_digest.clone(),
                    config_digest: config_digest.clone(),
                    running: None,
                    run_as_user: security::run_as_user(&self.checked.spec, user),
                    replaced_user: security::replaced_user(&self.checked.spec, user),
                };
                self.freeze(image, packages, script_sha256.clone())
            }
            Some(Resolution::NeedsPod { reason, message, packages, script_sha256 }) => {
                self.by_pod(*reason, message, packages, script_sha256.as_ref())
            }
            Some(Resolution::Refused { reason, message }) => self.end(*reason, message),
            Some(Resolution::Failed { reason, message }) => self.hold(*reason, message),
            Some(Resolution::UnderWay { quiet_until, reason, message, at_the_end }) => {
                if self.now < *quiet_until {
                    return Step::until(*quiet_until, self.now);
                }
                self.hold_as(*reason, message, *at_the_end)
            }
            None => match self.facts.not_before {
                Some(time) if time > self.now => {
                    Step::until(time, self.now).not_beyond(self.ahead(self.deadline), self.now)
                }
                _ => Step::Resolve { repeats: self.run.repeats },
            },
        }
    }

    fn freeze(&self, image: ImageStatus, packages: &[PackageStatus], script_sha256: Option<String>) -> Step {
        let run = RunStatus {
            script_sha256,
            deadlines: Some(self.checked.deadlines),
            required_outputs: self.checked.required_outputs(),
            outputs_key: key_id(self.facts, self.checked, &self.run),
            ..self.run.clone()
        };
        match freeze(self.facts, self.checked, &run, &image, packages) {
            Ok((_, sha256)) => {
                let name = names::pod_name(&self.checked.name, &self.checked.uid, run.number, run.attempt);
                let message = format!("creating pod {name}");
                let launcher = Some(Launcher::first(self.facts.process));
                let run = RunStatus { bundle_sha256: Some(sha256), pod_name: Some(name), launcher, ..run };
                let mut status = progress(
                    &self.facts.requests,
                    self.now,
                    Reason::Launching,
                    &message,
                    run,
                    Some(image),
                    None,
                );
                status.packages = packages.to_vec();
                status.template.clone_from(&self.checked.template);
                Step::WriteStatus(Box::new(status))
            }
            Err(error) => self.end(Reason::InvalidSpec, &error),
        }
    }

    /// A node finds out what the tag means, by pulling the image.
    fn by_pod(
        &self,
        reason: Reason,
        refused: &str,
        packages: &[PackageStatus],
        script_sha256: Option<&String>,
    ) -> Step {
        let Some(resolver) = &self.facts.resolver else {
            if self.now >= self.deadline {
                return self.end(reason, refused);
            }
            // The run is on record before anything is created for it.
            return write_or(
                self.facts,
                self.progress(Reason::Resolving, &self.asks(refused)),
                || match self.facts.not_before {
                    Some(time) if time > self.now => Step::until(time.min(self.deadline), self.now),
                    _ => Step::CreateResolver { run: self.run.number },
                },
            );
        };
        let Resolver { pod, image } = resolver;
        if pod.owner_uid != self.facts.action.metadata.uid {
            let message = format!(
                "pod {} (UID {}) has the name of the pod that resolves this run's image",
                pod.name, pod.uid
            );
            return self.end(Reason::PodNameTaken, &message);
        }
        if *image != self.checked.requested && !pod.deleting {
            return Step::DeleteResolver { name: pod.name.clone(), uid: pod.uid.clone() };
        }
        if pod.deleting {
            return self
                .hold(reason, &format!("{refused}; pod {}, which asks a node, is being removed", pod.name));
        }
        if let Some(id) = &pod.image_id {
            return match id.rsplit_once('@') {
                Some((_, digest)) => self.freeze(
                    ImageStatus {
                        requested: image.clone(),
                        resolved: self.checked.image.pinned(digest),
                        run_as_user: security::run_as_user(&self.checked.spec, &ImageUser::Unreadable),
                        ..ImageStatus::default()
                    },
                    packages,
                    script_sha256.cloned(),
                ),
                None => self.end(
                    Reason::ImageInvalid,
                    &format!("{refused}; the node reports {id} and no digest of the registry's: name the image by its digest"),
                ),
            };
        }
        if let Some(words) = &pod.unschedulable {
            let message =
                format!("{refused}; pod {}, which asks a node, is not on a node yet: {words}", pod.name);
            return self.hold(Reason::Unschedulable, &message);
        }
        let Some((_, words)) = &pod.waiting else {
            return self.hold_as(Reason::Resolving, &self.asks(refused), reason);
        };
        let message = format!("{refused}; a node, asked by pod {}, could not either: {words}", pod.name);
        if is_not_found(words) {
            return self.end(Reason::ImageNotFound, &message);
        }
        self.hold(reason, &message)
    }

    /// The message while a node is asked.
    fn asks(&self, refused: &str) -> String {
        let name = names::resolver_name(&self.checked.name, &self.checked.uid, self.run.number);
        format!("{refused}; pod {name} asks a node")
    }

    /// Says what is missing, and ends the run once the pending deadline has passed.
    fn hold(&self, reason: Reason, message: &str) -> Step {
        self.hold_as(reason, message, reason)
    }

    /// The same, with another reason for the end.
    fn hold_as(&self, reason: Reason, message: &str, at_the_end: Reason) -> Step {
        if self.now >= self.deadline {
            return self.end(at_the_end, message);
        }
        let again = self.now.saturating_add(LOOK_AGAIN).unwrap_or(self.deadline);
        // A pause that is over is no time to look again: now something else holds the run back.
        let pause = self.facts.not_before.filter(|time| *time > self.now);
        let again = pause.unwrap_or(again).min(self.deadline);
        write_or(self.facts, self.progress(reason, message), || Step::until(again, self.now))
    }

    /// `time`, unless it has passed.
    fn ahead(&self, time: Timestamp) -> Option<Timestamp> {
        Some(time).filter(|time| *time > self.now)
    }

    fn progress(&self, reason: Reason, message: &str) -> DeploymentActionStatus {
        progress(&self.facts.requests, self.now, reason, message, self.run.clone(), None, None)
    }

    fn end(&self, reason: Reason, message: &str) -> Step {
        let verdict = Verdict::of(reason, message);
        Step::WriteStatus(Box::new(terminal(
            &self.facts.requests,
            self.now,
            &verdict,
            self.run.clone(),
            None,
            None,
        )))
    }
}

/// Whether this is containerd's error for a reference that the registry does not know.
fn is_not_found(words: &str) -> bool {
    words.contains("code = NotFound")
}
