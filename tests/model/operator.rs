//! The operator: what `reconcile.rs` and its steps do around the real [`decide`], one step at a time.

use std::sync::Arc;

use longshore::{
    api::{DeploymentActionStatus, Reason, status::RunStatus},
    operator::{
        lifecycle::decide::{NAME_NEEDED_SECONDS, Step},
        steps::launch::wants,
    },
};

use crate::{
    Broken, Lifecycle,
    cluster::{Memory, Pass, Rests, State, Stored},
    decided::{Decided, Known, process_name},
    pods::{Attempt, Flying, How, Millis, Pod, Read, number},
};

/// So many steps has one pass, as in `reconcile.rs`.
const MOST_STEPS: u8 = 16;
/// So long a pod's name stays taken once no other creation is sent.
const NAME_NEEDED: Millis = NAME_NEEDED_SECONDS * 1000;
/// The pause after a failure.
const PAUSE: Millis = 2_000;

/// What becomes of the call that a step makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// It is done and answered.
    Arrives,
    /// It is done, and its answer is lost.
    Lost,
    /// It is done, or on its way, and the operator dies.
    Crash,
    /// A creation is refused.
    Refused,
}

impl Lifecycle {
    /// Begins a pass, or goes on with it. `None` where there is no action to look at.
    pub(crate) fn pass(&self, state: &State) -> Option<Pass> {
        if let Some(pass) = &state.memory.pass {
            return Some(pass.clone());
        }
        // Its own writes it remembers: what decides is as if its cache had them at once.
        let action = Arc::clone(state.seen_action.as_ref()?);
        Some(Pass { action, looked: None, all_pods: None, resolved: false, steps: 0 })
    }

    /// The next step of this pass.
    pub(crate) fn next(&self, state: &State, memory: &mut Memory, pass: &Pass) -> Arc<Decided> {
        let run = pass.action.run();
        if let Some(run) = run
            && run.bundle_sha256.is_some()
        {
            memory.turn_to((run.number, run.attempt), self.broken == Some(Broken::OthersForgotten));
        }
        memory.settle(&pass.action, self.is_ours(state, &pass.action), state.seen_action.is_none());
        let shown = |created: &Pod| state.seen_pods.values().any(|pod| pod.uid == created.uid);
        if memory.created.as_ref().is_some_and(shown) {
            memory.created = None;
        }
        let named = pass.action.named();
        let (pod, looked) = match &pass.looked {
            Some(looked) => (looked.clone(), true),
            None => {
                let cached = named.and_then(|name| state.seen_pods.get(&name));
                let created = memory.created.as_ref().filter(|pod| named == Some(pod.attempt));
                let mut pod = cached.or(created).cloned();
                if let Some(pod) = &mut pod {
                    pod.finalizer &= memory.released != Some(pod.uid);
                }
                (pod, false)
            }
        };
        let uid = pod.as_ref().map(|pod| pod.uid).or_else(|| run?.pod_uid.as_deref().map(number));
        let log = uid.and_then(|uid| Some((uid, memory.logs.get(&uid)?)));
        let known = Known {
            process: state.process,
            action: &pass.action,
            pod,
            looked,
            log,
            older: pass.all_pods.as_ref().map_or_else(
                || older(state, memory, &pass.action),
                |pods| pods.iter().map(|pod| (pod, memory.has_all_creations(pod.attempt))).collect(),
            ),
            all_pods: pass.all_pods.is_some(),
            creation: memory.creation,
            not_before: memory.not_before.map(|time| time + state.skew),
            resolved: pass.resolved,
            off: state.seen_off,
            silent: state.seen_silent,
            unheeded: self.broken == Some(Broken::RunningUnheeded),
            now: state.now + state.skew,
        };
        known.decided()
    }

    /// Whether nobody but this process can have asked for the pod of the latest attempt.
    pub(crate) fn is_ours(&self, state: &State, action: &Stored) -> bool {
        let process = process_name(state.process);
        self.broken == Some(Broken::OthersForgotten)
            || action.run().is_some_and(|run| run.is_launched_only_by(&process))
    }

    /// The operator's work until it calls the API server; or its call, with this end, and its work after it.
    pub(crate) fn operate(&self, state: &mut State, answer: Answer) {
        let Some(mut pass) = self.pass(state) else { return };
        let mut memory = std::mem::take(&mut state.memory);
        memory.pass = None;
        let mut done = false;
        loop {
            let decided = self.next(state, &mut memory, &pass);
            if done && calls(&decided.step) {
                memory.pass = Some(pass);
                break;
            }
            done = true;
            pass.steps += 1;
            if pass.steps > MOST_STEPS {
                state.told.fault = Some("a pass goes round in a circle");
                break;
            }
            let ends = if calls(&decided.step) { answer } else { Answer::Arrives };
            if !self.carry_out(state, &mut memory, &mut pass, &decided, ends) {
                break;
            }
            if answer == Answer::Crash {
                break;
            }
        }
        if memory.pass.is_none() && std::mem::take(&mut memory.news) {
            memory.rests = Rests::No;
        }
        state.memory = memory;
        if answer == Answer::Crash {
            state.crash();
        }
        state.sweep();
    }

    /// Whether the pass goes on.
    fn carry_out(
        &self,
        state: &mut State,
        memory: &mut Memory,
        pass: &mut Pass,
        decided: &Decided,
        answer: Answer,
    ) -> bool {
        let answered = answer == Answer::Arrives;
        match &decided.step {
            Step::Wait(wait) => {
                state.wake = wait.map(|wait| state.now + i64::try_from(wait.as_millis()).unwrap());
                memory.rests = Rests::UntilWoken;
                if wait.is_none() && waits_for_nothing(&pass.action) {
                    state.told.fault =
                        Some("a run under way has neither a deadline nor anything to wait for");
                }
                false
            }
            Step::Resolve { .. } => {
                pass.resolved = true;
                true
            }
            Step::WriteStatus(status) => {
                self.write(state, memory, pass, (status, decided.written.as_ref()), answered)
            }
            Step::Look => self.look(state, memory, pass),
            Step::LookForPods => {
                pass.all_pods = Some(state.pods.values().cloned().collect());
                true
            }
            Step::Launch(attempt) => {
                let checked = pass.action.spec.as_ref().as_ref().unwrap();
                let live = state.action.as_ref();
                let wanted = live.is_some_and(|live| wants(&live.action, checked, attempt));
                if !wanted && self.broken != Some(Broken::LiveReadSkipped) {
                    memory.rests = Rests::UntilSeen;
                    return false;
                }
                if !wanted {
                    state.told.fault = Some("a pod was created that its action does not ask for");
                }
                let flying = Flying {
                    attempt: (attempt.run, attempt.attempt),
                    tombstone: false,
                    bundle: Some(attempt.bundle_sha256.as_str().into()),
                    sent: state.now,
                };
                match answer {
                    Answer::Arrives => {
                        match state.create(&flying, self.broken != Some(Broken::FinalizerDropped)) {
                            Some(pod) => {
                                pass.looked = Some(Some(pod.clone()));
                                (memory.created, memory.creation.refused, memory.not_before) =
                                    (Some(pod), false, None);
                                true
                            }
                            None => self.look(state, memory, pass),
                        }
                    }
                    Answer::Refused => {
                        (memory.creation.refused, memory.not_before) = (true, Some(state.now + PAUSE));
                        true
                    }
                    Answer::Lost | Answer::Crash => {
                        state.flying.push(flying);
                        state.flying.sort();
                        (memory.creation.unanswered, memory.not_before) = (true, Some(state.now + PAUSE));
                        true
                    }
                }
            }
            Step::Entomb { run, attempt } => {
                let flying =
                    Flying { attempt: (*run, *attempt), tombstone: true, bundle: None, sent: state.now };
                match answer {
                    Answer::Arrives => match state.create(&flying, true) {
                        Some(pod) => {
                            pass.looked = Some(Some(pod.clone()));
                            memory.created = Some(pod);
                            true
                        }
                        None => self.look(state, memory, pass),
                    },
                    Answer::Refused => {
                        memory.creation.tombstone_refused = true;
                        true
                    }
                    Answer::Lost | Answer::Crash => {
                        state.flying.push(flying);
                        state.flying.sort();
                        false
                    }
                }
            }
            Step::Follow { uid, .. } => {
                let run = pass.action.run().map_or(0, |run| run.number);
                let read = Read { run, began: false, exit: None, settled: None };
                memory.logs.entry(number(uid)).or_insert(read);
                true
            }
            Step::Stop { uid, .. } => {
                let now = state.now + state.skew;
                if let Some(pod) = state.pod_mut(number(uid)) {
                    pod.told = Some(now);
                }
                memory.rests = if answered { Rests::UntilSeen } else { Rests::No };
                false
            }
            Step::Expire { uid, .. } => {
                if let Some(pod) = state.pod_mut(number(uid)) {
                    pod.expired = true;
                }
                memory.rests = if answered { Rests::UntilSeen } else { Rests::No };
                false
            }
            Step::Delete { uid, .. } => {
                let now = state.now;
                if let Some(pod) = state.pod_mut(number(uid)) {
                    pod.delete(now, false);
                }
                memory.created = None;
                memory.rests = if answered { Rests::UntilSeen } else { Rests::No };
                false
            }
            Step::Release { uid, .. } => {
                let uid = number(uid);
                if let Some(pod) = state.pod_mut(uid) {
                    pod.finalizer = false;
                }
                if answered {
                    memory.logs.remove(&uid);
                    (memory.created, memory.released) = (None, Some(uid));
                }
                memory.rests = if answered { Rests::UntilSeen } else { Rests::No };
                false
            }
            Step::CreateResolver { .. }
            | Step::DeleteResolver { .. }
            | Step::LookAtLock { .. }
            | Step::TakeLock { .. }
            | Step::MarkLock { .. }
            | Step::ReleaseLock { .. }
            | Step::KeepOutputs { .. }
            | Step::StoreLog { .. }
            | Step::DeleteAction => {
                state.told.fault = Some("a step was taken that nothing in the model asks for");
                false
            }
        }
    }

    /// Asks the API server for the pod that the status names.
    fn look(&self, state: &State, memory: &mut Memory, pass: &mut Pass) -> bool {
        let live = pass.action.named().and_then(|name| state.pods.get(&name)).cloned();
        memory.created.clone_from(&live);
        pass.looked = Some(live);
        true
    }

    fn write(
        &self,
        state: &mut State,
        memory: &mut Memory,
        pass: &mut Pass,
        (status, written): (&DeploymentActionStatus, Option<&Arc<Stored>>),
        answered: bool,
    ) -> bool {
        let same = pass.action.action.status.as_ref() == Some(status);
        let Some(live) = state.action.clone() else { return false };
        if same {
            state.told.fault = Some("a status was written that is there already");
        }
        if live != pass.action && self.broken != Some(Broken::StatusOverwritten) {
            memory.rests = Rests::UntilSeen;
            return false;
        }
        let launching =
            status.run.as_ref().filter(|run| run.bundle_sha256.is_some() && run.pod_uid.is_none());
        let launching = launching.map(|run| (run.number, run.attempt));
        self.record(state, status);
        let written = match written.filter(|_| live == pass.action) {
            Some(written) => Arc::clone(written),
            None => live.written(Some(status.clone())),
        };
        state.action = Some(Arc::clone(&written));
        if !answered {
            return false;
        }
        if let Some(attempt) = launching {
            memory.turn_to(attempt, true);
        }
        pass.all_pods = None;
        if written.named() != pass.action.named() {
            pass.looked = None;
        }
        state.seen_action = Some(Arc::clone(&written));
        pass.action = written;
        true
    }

    /// Keeps what a status says of ends, and compares it with what was said before.
    fn record(&self, state: &mut State, status: &DeploymentActionStatus) {
        let Some(run) = &status.run else { return };
        for attempt in &run.attempts {
            let reason = Reason::parse(&attempt.reason).unwrap();
            if attempt.exit_code.is_none() && never_started(reason) {
                state.told.never.insert((run.number, attempt.attempt));
            }
        }
        if run.finished_at.is_some() {
            let past = &status.history[0];
            let verdict = (past.reason.clone(), past.exit_code);
            let before = state.told.verdicts.entry(run.number).or_insert_with(|| verdict.clone());
            if *before != verdict || past.number != run.number {
                state.told.fault = Some("an end that was told has changed");
            }
            if verdict.0 == Reason::Succeeded.as_str() {
                let attempt = (run.number, run.attempt);
                let mut ended = state.processes.values().filter(|process| process.attempt == attempt);
                if !ended.any(|process| process.end.is_some_and(|(how, _)| how == How::Exited(0))) {
                    state.told.fault = Some("success was told of a script that had none");
                }
            }
        } else if state.told.verdicts.contains_key(&run.number) {
            state.told.fault = Some("a run that had ended goes on");
        }
    }
}

/// Whether a step asks the API server to change something.
pub(crate) const fn calls(step: &Step) -> bool {
    !matches!(
        step,
        Step::Wait(_) | Step::Resolve { .. } | Step::Follow { .. } | Step::Look | Step::LookForPods
    )
}

/// Whether this reason, without an exit code, says that the script was never started.
fn never_started(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::Unknown
            | Reason::NodeLost
            | Reason::OutOfMemory
            | Reason::Evicted
            | Reason::PodNameTaken
            | Reason::PodMutated
    )
}

/// Whether an action in this state must not be left without a time to look again.
fn waits_for_nothing(action: &Stored) -> bool {
    let under_way = |run: &RunStatus| run.finished_at.is_none();
    !action.is_deleted() && action.run().is_some_and(under_way)
}

/// As `observe::older`.
fn older<'a>(state: &'a State, memory: &Memory, action: &Stored) -> Vec<(&'a Pod, bool)> {
    let before: Attempt = match action.run() {
        None => (u32::MAX, u32::MAX),
        Some(run) if (run.number, run.attempt) == (1, 1) => return vec![],
        Some(run) if run.finished_at.is_some() || action.is_deleted() => (run.number, run.attempt),
        Some(_) => return vec![],
    };
    let earlier = state.seen_pods.values().filter(|pod| pod.attempt < before);
    earlier.map(|pod| (pod, memory.has_all_creations(pod.attempt))).collect()
}

/// Whether a pod that is being deleted is let go without its action, as `strays.rs` does: the cache of
/// pods brings it up, and the action is read live.
pub(crate) fn is_stray(state: &State, pod: &Pod) -> bool {
    is_unwanted(state, pod) && name_needed_until(state, pod).is_none_or(|until| until <= state.now)
}

/// When the next of those can be let go whose names are needed yet.
pub(crate) fn next_stray(state: &State) -> Option<Millis> {
    let unwanted = state.pods.values().filter(|pod| is_unwanted(state, pod));
    unwanted.filter_map(|pod| name_needed_until(state, pod)).filter(|until| *until > state.now).min()
}

/// Until when a creation of the same attempt can arrive, as far as the operator knows.
fn name_needed_until(state: &State, pod: &Pod) -> Option<Millis> {
    let all_ours = state.memory.has_all_creations(pod.attempt);
    (!pod.tombstone && !all_ours).then(|| state.gone.unwrap_or(pod.created) + NAME_NEEDED)
}

/// Whether a pod that is being deleted is held, and no action waits for it.
pub(crate) fn is_unwanted(state: &State, pod: &Pod) -> bool {
    let shown = state.seen_pods.get(&pod.attempt).is_some_and(|seen| seen.uid == pod.uid && is_held(seen));
    let named = state.action.as_ref().is_some_and(|action| {
        let Some(run) = action.run() else { return true };
        pod.attempt < (run.number, run.attempt) || action.named() == Some(pod.attempt)
    });
    shown && is_held(pod) && !named
}

const fn is_held(pod: &Pod) -> bool {
    pod.finalizer && pod.deleted.is_some()
}
