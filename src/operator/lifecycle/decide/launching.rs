//! A run that is frozen and has no pod yet. The pod is created, or the attempt is given up for certain.

use super::{
    active::Active,
    cancel,
    clocks::{after, deadlines},
    frozen, lock,
    step::{Step, write_or},
    superseded,
};
use crate::{
    api::{
        DeploymentActionStatus, Reason,
        packages::PackageStatus,
        reason::Class,
        status::{ImageStatus, Launcher, RunStatus},
    },
    operator::{
        lifecycle::{
            facts::{PodFact, Refusal},
            lock_facts,
            verdict::Verdict,
            whole_seconds::seconds,
        },
        pod::{attempt::Attempt, security},
        spec::{expand::Blocked, hash, policy::Standing, validate::Checked},
    },
};

/// How long an attempt is left to the process that took it over, in seconds. Two processes that both believe
/// they lead must not take it from each other as fast as they can.
const TAKE_OVER_SECONDS: i64 = 2;

impl Active<'_> {
    pub(super) fn launch(&self, frozen: &str, image: &ImageStatus) -> Step {
        if self.is_cancelled() {
            return self.announced(self.run.clone(), || self.give_up(&cancel::before_start()));
        }
        if self.yields() {
            return self.yielding(self.run.clone(), || self.give_up(&superseded::before_start()));
        }
        // Right after a start the caches are empty. This is no reason to give a run up.
        if matches!(self.facts.spec, Err(Blocked::Unread(_))) && self.now < self.deadline {
            return Step::until(self.deadline.min(self.look_again()), self.now);
        }
        if let Ok(checked) = self.facts.spec
            && let Some((reason, message)) = frozen::keyless(self.facts, checked, self.run)
            && self.now < self.deadline
        {
            // Without the key nobody can say whether the bundle would be the one on record.
            return write_or(self.facts, self.progress(reason, &message, self.run.clone()), || {
                Step::until(self.deadline.min(self.look_again()), self.now)
            });
        }
        let (checked, bundle) = match self.still_possible(frozen, image) {
            Ok(rebuilt) => rebuilt,
            Err(verdict) => return self.give_up(&verdict),
        };
        let creation = &self.facts.creation;
        let launch = || {
            Step::Launch(Box::new(Attempt {
                run: self.run.number,
                attempt: self.run.attempt,
                bundle,
                bundle_sha256: frozen.to_owned(),
                image: image.resolved.clone(),
                user: image.run_as_user,
                deadlines: deadlines(self.facts, self.run),
                packages: self.status.packages.clone(),
                lock: self.run.held_lock().map(|lock| lock.name.clone()),
                launcher: self.facts.process.to_owned(),
            }))
        };
        if self.facts.lock.lost
            && let Some(held) = self.run.held_lock()
        {
            let message = format!("{} names another holder", lock_facts::lease_name(&held.name));
            return self.give_up(&Verdict::of(Reason::LockLost, format!("Lease {message}")));
        }
        let launch = || lock::mark(self.facts, self.run, None).unwrap_or_else(launch);
        let launch = || self.take_over().unwrap_or_else(launch);
        let go = || match self.facts.not_before {
            Some(time) if time > self.now => Step::until(time.min(self.deadline), self.now),
            _ => launch(),
        };
        if let Some((reason, message)) = frozen::held_back(self.facts, checked, self.run) {
            // This did not hold the run back when it was recorded.
            return write_or(self.facts, self.progress(reason, &message, self.run.clone()), || {
                Step::until(self.deadline.min(self.look_again()), self.now)
            });
        }
        match &creation.refusal {
            Some(Refusal { reason, message, .. }) => {
                write_or(self.facts, self.progress(*reason, message, self.run.clone()), go)
            }
            None => go(),
        }
    }

    /// Takes the attempt over from another process that announced it, or took it over last. That process may
    /// have created the pod. It creates none once this process's name is in the status. The status then also
    /// shows that not all creations were this process's own, which decides when the pod's name may become
    /// free.
    fn take_over(&self) -> Option<Step> {
        if self.run.is_launched_by(self.facts.process) {
            return None;
        }
        if self.facts.pod == PodFact::NotSeen {
            return Some(Step::Look);
        }
        let taken = self.run.launcher.as_ref().and_then(|launcher| launcher.taken_over_at.as_ref());
        // A time in the future comes from another clock.
        let again = taken.map(|taken| after(taken.0.min(self.now), TAKE_OVER_SECONDS));
        if let Some(then) = again.filter(|then| self.now < *then) {
            return Some(Step::until(then, self.now));
        }
        let launcher = Some(Launcher::taking_over(self.facts.process, seconds(self.now)));
        let run = RunStatus { launcher, ..self.run.clone() };
        Some(Step::WriteStatus(Box::new(DeploymentActionStatus { run: Some(run), ..self.status.clone() })))
    }

    /// The spec and the bundle as they were recorded, or why this attempt can never get its pod.
    pub(super) fn still_possible(
        &self,
        frozen: &str,
        image: &ImageStatus,
    ) -> Result<(&Checked, String), Box<Verdict>> {
        let creation = &self.facts.creation;
        let never = |reason, message: String| Err(Box::new(Verdict::of(reason, message)));
        if let Some(what) = self.not_as_recorded(image) {
            return never(Reason::FrozenInputsChanged, what);
        }
        if let Ok(checked) = self.facts.spec
            && let Some((reason, message)) = frozen::keyless(self.facts, checked, self.run)
        {
            return never(reason, message);
        }
        let rebuilt = self.facts.spec.as_ref().ok().and_then(|checked| {
            let (bundle, sha256) =
                frozen::freeze(self.facts, checked, self.run, image, &self.status.packages).ok()?;
            (sha256 == frozen).then_some((checked, bundle))
        });
        let Some((checked, bundle)) = rebuilt else {
            return never(
                Reason::FrozenInputsChanged,
                "the spec changed after the run was recorded and before its pod was created".into(),
            );
        };
        if let Standing::Refused(message) = &self.facts.standing {
            return never(Reason::PolicyViolated, message.clone());
        }
        match &creation.refusal {
            Some(refusal) if !refusal.may_pass || self.now >= self.deadline => {
                // An obstacle that only this operator had is no reason for the run's end.
                let hindered = refusal.reason.class() == Class::Progress;
                let reason = if hindered { Reason::PendingDeadlineExceeded } else { refusal.reason };
                never(reason, refusal.message.clone())
            }
            _ if self.now >= self.deadline => {
                if let Some((reason, message)) = frozen::held_back(self.facts, checked, self.run) {
                    return never(reason, message);
                }
                let why = creation.error.clone().unwrap_or_else(|| "the pod was not created".into());
                never(Reason::PendingDeadlineExceeded, why)
            }
            _ => Ok((checked, bundle)),
        }
    }

    /// The difference between what the action says now and what was recorded for the run.
    pub(super) fn not_as_recorded(&self, image: &ImageStatus) -> Option<String> {
        let of_spec =
            |checked| not_ours(checked, image).or_else(|| packages_not_ours(checked, &self.status.packages));
        self.facts
            .spec
            .as_ref()
            .ok()
            .and_then(of_spec)
            .or_else(|| self.template_changed())
            .or_else(|| self.execution_changed())
    }

    /// Says if the action now executes something else than when the run was recorded. The bundle does not
    /// hold all of that: service account, volumes, host aliases and security settings are the pod's. A hash
    /// of another version comes from another operator, and tells nothing.
    fn execution_changed(&self) -> Option<String> {
        (hash::is_of(&self.run.spec_hash, &self.facts.action.spec) == Some(false))
            .then(|| "what the action executes changed since the run was recorded".to_owned())
    }

    /// The difference between the template and the one that was frozen with the run. The bundle does not hold
    /// everything that a template says, for example not the service account.
    fn template_changed(&self) -> Option<String> {
        let frozen = self.status.template.as_ref()?;
        let name = format!("{} {}", frozen.kind.as_str(), frozen.name);
        match self.facts.spec {
            Ok(Checked { template: Some(now), .. }) if now.sha256 == frozen.sha256 => None,
            Ok(Checked { template: Some(now), .. }) => Some(format!(
                "{name} changed from generation {} to {} since the run was recorded",
                frozen.generation, now.generation
            )),
            Ok(Checked { template: None, .. }) => None,
            Err(blocked) => Some(format!("since the run was recorded: {}", blocked.words().1)),
        }
    }

    /// Ends an attempt that has no pod. If a creation may still be on its way, only a tombstone under its
    /// name makes that certain.
    fn give_up(&self, verdict: &Verdict) -> Step {
        let creation = &self.facts.creation;
        if let Some(refused) = &creation.tombstone_refused {
            let message = format!(
                "{}; nobody knows whether its pod was created, because its tombstone was refused: {refused}",
                verdict.message
            );
            return self.end(&Verdict::of(Reason::Unknown, message), None);
        }
        if creation.unanswered {
            return Step::Entomb { run: self.run.number, attempt: self.run.attempt };
        }
        self.end(&verdict.clone().proven(), None)
    }
}

/// Says why no operator would have recorded this image for this spec. Somebody else wrote the status, or the
/// spec names another image now. The record decides what the pod runs, and as which user. So it must not
/// allow more than its action does.
fn not_ours(checked: &Checked, image: &ImageStatus) -> Option<String> {
    if !checked.image.is_pinned_as(&image.resolved) {
        return Some(format!(
            "status.image.resolved is {}, which is not {} with a digest",
            image.resolved, checked.image
        ));
    }
    (!security::may_run_as(&checked.spec, image.run_as_user)).then(|| {
        let user = image.run_as_user.map_or("not set".to_owned(), |user| user.to_string());
        format!("status.image.runAsUser is {user}, which spec.podTemplate does not allow")
    })
}

/// The same for the recorded packages.
fn packages_not_ours(checked: &Checked, packages: &[PackageStatus]) -> Option<String> {
    let (wanted, recorded) = (&checked.packages, packages);
    if wanted.len() != recorded.len() {
        return Some(format!("status.packages has {} and spec.packages {}", recorded.len(), wanted.len()));
    }
    wanted.iter().zip(recorded).find_map(|(wanted, recorded)| {
        let ours = wanted.name == recorded.name && wanted.reference.is_pinned_as(&recorded.resolved);
        (!ours).then(|| {
            format!(
                "status.packages has {} as {}, which is not {} of spec.packages, {}, with a digest",
                recorded.name, recorded.resolved, wanted.name, wanted.reference
            )
        })
    })
}
