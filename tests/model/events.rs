//! Events that can happen next, and their changes to the state.

use longshore::{
    api::status::Deadlines,
    operator::{lifecycle::decide::Step, pod::attempt, steps::launch::wants},
};

use crate::{
    Broken, Lifecycle,
    cluster::{Memory, State},
    operator::{Answer, calls, is_stray, is_unwanted, next_stray},
    people::{BELIEVER, Kind, ask, can_ask},
    pods::{Flying, How, Millis, Pod, Process, Shown},
};

/// So long after it was sent a creation arrives at the latest: the API server answers within 60 s.
const LATEST_ARRIVAL: Millis = 60_000;

/// A node that reports is behind by no more than that, nor is a cache.
const LATEST_WORD: Millis = 60_000;

/// How many pods, one after the other, can be created and collected before the operator hears that their
/// action is gone. No watch is late for ever.
const MOST_UNHEARD: u32 = 4;

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The operator takes its next step, and its call ends so.
    Operate(Answer),
    /// The cache of actions catches up.
    SeeAction,
    /// The cache of pods catches up.
    SeePods,
    /// The log of the pod with this UID is read as far as it goes.
    ReadLog(u32),
    /// Its node says that it has no such log.
    LoseLog(u32),
    /// Time jumps to when somebody wants to look again.
    Tick,
    /// Time jumps to when the name of a pod of an action that is gone is needed no more.
    Outwait,
    /// A node starts the container of the pod with this UID.
    Start(u32),
    /// The runtime cannot.
    FailToStart(u32),
    /// Its process ends.
    End(u32, How),
    /// The node tells what became of the process.
    Tell(u32),
    /// The node is done with a pod that is being deleted and of which it started nothing.
    Drop(u32),
    /// A creation arrives that was on its way.
    Arrive(Flying),
    /// Kubernetes deletes the pods of a node that is off by force.
    Evacuate,
    /// The operator reads the nodes.
    SeeNodes,
    /// The garbage collector deletes the pods of an action that goes or is gone.
    Collect,
    /// A pod that no action waits for is let go.
    LetGo(u32),
    /// Who believes to lead asks for the pod of what it has taken over.
    Believe,
    /// The operator dies between two steps.
    Crash,
    /// Somebody does this.
    Ask(Kind),
}

impl Lifecycle {
    /// All that can happen next.
    pub(crate) fn possible(&self, state: &State, events: &mut Vec<Event>) {
        self.by_the_operator(state, events);
        by_nodes(state, events);
        events.extend(state.flying.iter().cloned().map(Event::Arrive));
        if launch_of_believer(state).is_some() {
            events.push(Event::Believe);
        }
        // What the operator does takes no time; it may be down for long.
        let idle = state.rests() || state.memory == Memory::default();
        let soon = state.is_answered_soon() || state.is_told_soon();
        if idle && !soon && state.wake.is_some_and(|wake| wake > state.now) {
            events.push(Event::Tick);
        }
        if state.action.is_none() && next_stray(state).is_some() {
            events.push(Event::Outwait);
        }
        if state.budget > 0 {
            self.by_budget(state, events);
        }
    }

    fn by_the_operator(&self, state: &State, events: &mut Vec<Event>) {
        if state.seen_action != state.action {
            events.push(Event::SeeAction);
        }
        if state.seen_pods != state.pods {
            events.push(Event::SeePods);
        }
        if (state.seen_off, state.seen_silent) != (state.off, state.silent) {
            events.push(Event::SeeNodes);
        }
        for (uid, read) in &state.memory.logs {
            if read.settled.is_none() && state.has_log_news(*uid) {
                events.push(Event::ReadLog(*uid));
            }
        }
        let left_free = self.broken == Some(Broken::NameLeftFree);
        let strays =
            state.pods.values().filter(|pod| is_stray(state, pod) || left_free && is_unwanted(state, pod));
        events.extend(strays.map(|pod| Event::LetGo(pod.uid)));
        let Some(pass) = self.pass(state) else { return };
        if state.rests() {
            return;
        }
        events.push(Event::Operate(Answer::Arrives));
        if state.budget == 0 {
            return;
        }
        let step = &self.next(state, &mut state.memory.clone(), &pass).step;
        let creates = matches!(step, Step::Launch(_) | Step::Entomb { .. });
        let calls = calls(step);
        if calls && self.kinds.contains(&Kind::LostAnswer) {
            events.push(Event::Operate(Answer::Lost));
        }
        if calls && self.kinds.contains(&Kind::Crash) {
            events.push(Event::Operate(Answer::Crash));
        }
        if creates && self.kinds.contains(&Kind::Refusal) {
            events.push(Event::Operate(Answer::Refused));
        }
    }

    fn by_budget(&self, state: &State, events: &mut Vec<Event>) {
        for kind in self.kinds {
            match kind {
                Kind::Crash if state.memory != Memory::default() => events.push(Event::Crash),
                Kind::BadExit => each_running(state, events, How::Exited(3)),
                Kind::Kill => each_running(state, events, How::Killed),
                Kind::StartError => {
                    events.extend(startable(state).map(|pod| Event::FailToStart(pod.uid)));
                }
                Kind::LostLog => {
                    let lost =
                        |(uid, _): (&u32, _)| state.processes.get(uid).is_some_and(|of| of.end.is_some());
                    let open = state.memory.logs.iter().filter(|(_, read)| read.settled.is_none());
                    events.extend(open.filter(|each| lost(*each)).map(|(uid, _)| Event::LoseLog(*uid)));
                }
                Kind::Crash | Kind::LostAnswer | Kind::Refusal => {}
                kind if can_ask(state, *kind) => events.push(Event::Ask(*kind)),
                _ => {}
            }
        }
    }

    /// Changes the state by what happens.
    pub(crate) fn happens(&self, state: &mut State, event: Event) {
        match event {
            Event::Operate(answer) => {
                if answer != Answer::Arrives {
                    state.budget -= 1;
                }
                self.operate(state, answer);
            }
            Event::SeeAction => {
                state.seen_action.clone_from(&state.action);
                state.memory.learns();
                if let Some(last) = state.last.take() {
                    let ours = self.is_ours(state, &last);
                    state.memory.settle(&last, ours, true);
                }
            }
            Event::SeePods => {
                state.seen_pods.clone_from(&state.pods);
                state.memory.learns();
            }
            Event::ReadLog(uid) => state.read_log(uid),
            Event::LoseLog(uid) => {
                state.budget -= 1;
                if let Some(read) = state.memory.logs.get_mut(&uid) {
                    read.settled = Some(false);
                }
                state.memory.learns();
            }
            Event::Tick => {
                let Some(wake) = state.wake.take() else { return };
                self.time_goes_on(state, wake);
            }
            Event::Outwait => {
                let Some(until) = next_stray(state) else { return };
                self.time_goes_on(state, until);
            }
            Event::Start(uid) => {
                let Some(pod) = state.pod_mut(uid) else { return };
                let attempt = pod.attempt;
                let (since, said) = (state.now, state.now + state.node_skew);
                let process = Process { attempt, since, said, deaf: false, end: None };
                state.processes.insert(uid, process);
                *state.told.starts.entry(attempt).or_default() += 1;
            }
            Event::FailToStart(uid) => {
                state.budget -= 1;
                show(state, uid, How::StartError);
            }
            Event::End(uid, how) => {
                let deaf = state.processes.get(&uid).is_some_and(|process| process.deaf);
                if matches!(how, How::Exited(3) | How::Killed) && !deaf {
                    state.budget -= 1;
                }
                let now = state.now;
                if let Some(process) = state.processes.get_mut(&uid) {
                    process.end = Some((how, now));
                }
            }
            Event::Tell(uid) => {
                let process = state.processes[&uid].clone();
                if let Some(pod) = state.pod_mut(uid) {
                    pod.shown = shown(&process);
                }
            }
            Event::Drop(uid) => show(state, uid, How::NeverRan),
            Event::Arrive(flying) => {
                state.flying.retain(|other| *other != flying);
                state.create(&flying, self.broken != Some(Broken::FinalizerDropped));
            }
            Event::Evacuate => {
                let now = state.now;
                for pod in state.pods.values_mut().filter(|pod| pod.is_on_first()) {
                    pod.delete(now, true);
                }
            }
            Event::SeeNodes => {
                (state.seen_off, state.seen_silent) = (state.off, state.silent);
                state.memory.learns();
            }
            Event::Collect => {
                let now = state.now;
                for pod in state.pods.values_mut().filter(|pod| pod.deleted.is_none()) {
                    pod.delete(now, false);
                }
            }
            Event::LetGo(uid) => {
                if let Some(pod) = state.pod_mut(uid) {
                    pod.finalizer = false;
                }
            }
            Event::Crash => {
                state.budget -= 1;
                state.crash();
            }
            Event::Believe => {
                let Some(flying) = launch_of_believer(state) else { return };
                state.flying.push(flying);
                state.flying.sort();
            }
            Event::Ask(kind) => {
                state.budget -= 1;
                ask(state, kind);
                if kind == Kind::NodeOff && self.broken != Some(Broken::OffNodeRuns) {
                    // All that runs is on it.
                    let now = state.now;
                    for process in state.processes.values_mut().filter(|process| process.end.is_none()) {
                        process.end = Some((How::Killed, now));
                    }
                }
            }
        }
        if self.broken == Some(Broken::TombstoneRemoved) {
            state.pods.retain(|_, pod| !pod.tombstone);
        }
        state.sweep();
        state.forget_what_is_gone();
    }

    fn time_goes_on(&self, state: &mut State, to: Millis) {
        state.now = to;
        state.memory.learns();
        if self.broken != Some(Broken::LateWithoutBound) {
            state.flying.retain(|flying| to <= flying.sent + LATEST_ARRIVAL);
        }
        if self.broken != Some(Broken::NoDeadline) {
            for process in state.processes.values_mut() {
                if process.end.is_none() && process.bound() <= to {
                    process.end = Some((process.ends_so(), process.bound()));
                }
            }
        }
    }
}

/// The creation that who believes to lead sends: it reads the action live before, as any process does.
fn launch_of_believer(state: &State) -> Option<Flying> {
    let (number, attempt) = state.believer?;
    let live = state.action.as_ref()?;
    let bundle_sha256 = live.run()?.bundle_sha256.clone()?;
    let bundle = Some(bundle_sha256.as_str().into());
    let asked = attempt::Attempt {
        run: number,
        attempt,
        bundle: String::new(),
        bundle_sha256,
        image: String::new(),
        user: None,
        deadlines: Deadlines::default(),
        packages: Vec::new(),
        lock: None,
        launcher: BELIEVER.to_owned(),
    };
    let wanted = wants(&live.action, live.spec.as_ref().as_ref().ok()?, &asked);
    let flying = Flying { attempt: (number, attempt), tombstone: false, bundle, sent: state.now };
    (wanted && !state.flying.contains(&flying)).then_some(flying)
}

/// Pods on a node that is there, which has started nothing of them.
fn unstarted(state: &State) -> impl Iterator<Item = &Pod> {
    let waits = |pod: &Pod| !pod.tombstone && pod.shown == Shown::Waiting && !state.is_off(pod);
    state.pods.values().filter(move |pod| waits(pod) && !state.processes.contains_key(&pod.uid))
}

/// Pods that a node can still start.
fn startable(state: &State) -> impl Iterator<Item = &Pod> {
    unstarted(state).filter(|pod| state.now < pod.until())
}

/// Pods that are being deleted and of which no node has started anything.
fn droppable(state: &State) -> impl Iterator<Item = &Pod> {
    unstarted(state).filter(|pod| pod.deleted.is_some() && !state.is_mute(pod))
}

fn by_nodes(state: &State, events: &mut Vec<Event>) {
    // A pod that is being deleted may be started all the same: its node may not know yet.
    events.extend(startable(state).map(|pod| Event::Start(pod.uid)));
    events.extend(droppable(state).map(|pod| Event::Drop(pod.uid)));
    for (uid, process) in &state.processes {
        let pod = state.pod(*uid);
        if pod.is_some_and(|pod| pod.shown != shown(process) && !state.is_mute(pod)) {
            events.push(Event::Tell(*uid));
        }
        if process.end.is_none() {
            let heard = |pod: &Pod| (pod.deleted.is_some() || pod.expired) && !state.is_mute(pod);
            let asked = pod.is_none_or(heard);
            match process.deaf {
                false => events.push(Event::End(*uid, if asked { How::Stopped } else { How::Exited(0) })),
                true if asked => events.push(Event::End(*uid, How::Killed)),
                true => {}
            }
        }
    }
    if state.pods.values().any(|pod| state.is_off(pod) && !pod.forced) {
        events.push(Event::Evacuate);
    }
    let goes = state.action.as_ref().is_none_or(|action| action.is_deleted());
    let heard = state.seen_action == state.action || state.next_uid <= MOST_UNHEARD;
    if goes && heard && state.pods.values().any(|pod| pod.deleted.is_none()) {
        events.push(Event::Collect);
    }
}

fn each_running(state: &State, events: &mut Vec<Event>, how: How) {
    events.extend(state.running().map(|(uid, _)| Event::End(*uid, how)));
}

const fn shown(process: &Process) -> Shown {
    match process.end {
        None => Shown::Running { since: process.said },
        Some((how, at)) => Shown::Ended { since: Some(process.said), at, how },
    }
}

fn show(state: &mut State, uid: u32, how: How) {
    let at = state.now;
    if let Some(pod) = state.pod_mut(uid) {
        pod.shown = Shown::Ended { since: None, at, how };
    }
}

impl State {
    /// The readable part of a log now: whether it began, how it ended, and whether that is all.
    fn log(&self, uid: u32) -> (bool, Option<How>, Option<bool>) {
        let pod = self.pod(uid);
        match self.processes.get(&uid) {
            // Gone from the API server, and its log with it.
            _ if pod.is_none() => (false, None, Some(false)),
            _ if pod.is_some_and(|pod| self.is_mute(pod)) => (false, None, None),
            None => (false, None, pod.filter(|pod| pod.has_ended()).map(|_| false)),
            Some(process) => match process.end {
                None => (true, None, None),
                Some((How::Killed, _)) => {
                    // Without an end record the reader waits until the container has ended.
                    (true, None, pod.filter(|pod| pod.has_ended()).map(|_| false))
                }
                Some((how, _)) => (true, Some(how), Some(true)),
            },
        }
    }

    /// Whether the operator asks for a log whose pod is gone: the API server says at once that there is none.
    fn is_answered_soon(&self) -> bool {
        self.memory.logs.iter().any(|(uid, read)| read.settled.is_none() && self.pod(*uid).is_none())
    }

    /// Whether a node that reports must act next. It then tells of a process' end, or ends a process whose pod is
    /// being deleted. The operator's cache may be the one that waited.
    fn is_told_soon(&self) -> bool {
        self.processes.iter().any(|(uid, process)| {
            let Some(pod) = self.pod(*uid) else {
                // That it is gone.
                let shown = self.seen_pods.values().any(|pod| pod.uid == *uid);
                return shown && process.end.is_some_and(|(_, at)| self.now > at + LATEST_WORD);
            };
            if self.is_mute(pod) {
                // That its node is silent, or off.
                let known = (self.seen_off, self.seen_silent) == (self.off, self.silent);
                return !known && process.end.is_some_and(|(_, at)| self.now > at + LATEST_WORD);
            }
            let seen = self.seen_pods.get(&pod.attempt).filter(|seen| seen.uid == pod.uid);
            let told = pod.shown == shown(process) && seen.is_some_and(|seen| seen.shown == pod.shown);
            let untold = |(_, at): (How, Millis)| !told && self.now > at + LATEST_WORD;
            let asked =
                || !process.deaf && pod.deleted.is_some_and(|deleted| self.now > deleted + LATEST_WORD);
            process.end.map_or_else(asked, untold)
        })
    }

    fn has_log_news(&self, uid: u32) -> bool {
        let read = &self.memory.logs[&uid];
        let (began, exit, settled) = self.log(uid);
        (began && !read.began) || (exit.is_some() && read.exit.is_none()) || settled.is_some()
    }

    fn read_log(&mut self, uid: u32) {
        let (began, exit, settled) = self.log(uid);
        let now = self.now;
        if let Some(read) = self.memory.logs.get_mut(&uid) {
            read.began |= began;
            read.exit = read.exit.or_else(|| exit.map(|how| (how, now)));
            read.settled = settled;
        }
        self.memory.learns();
    }
}
