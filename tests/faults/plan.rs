//! A schedule under way: which faults were met, and what the operators asked.

use std::{
    collections::HashMap,
    sync::{Mutex, atomic::AtomicBool, atomic::Ordering},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    call::Call,
    schedule::{Fault, Schedule, Slot, What},
};

/// A request that was sent, or would have been.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) at: Instant,
    pub(crate) slot: Slot,
    pub(crate) call: Call,
    /// The object's name.
    pub(crate) name: String,
    /// Its number among its kind.
    pub(crate) nth: u32,
    pub(crate) fault: Option<What>,
}

/// The state that all instances of one schedule share.
pub(crate) struct Plan {
    pub(crate) schedule: Schedule,
    active: AtomicBool,
    state: Mutex<State>,
    /// Told of each request.
    asked: Notify,
    /// Whether people have done what they do on the path.
    played: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    counts: HashMap<(Slot, Call), u32>,
    met: Vec<Fault>,
    last_met: Option<Instant>,
    asked: Vec<Asked>,
    /// 410s that a real API server gave.
    real_gone: u32,
    crashes: u32,
}

impl Plan {
    pub(crate) fn new(schedule: Schedule) -> Self {
        Self {
            schedule,
            active: AtomicBool::new(true),
            state: Mutex::default(),
            asked: Notify::new(),
            played: watch::Sender::new(false),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Counts a request, and says what is to go wrong with it.
    pub(crate) fn meet(&self, slot: Slot, call: Call, name: &str) -> Option<What> {
        let mut state = self.state();
        let nth = state.counts.entry((slot, call)).or_default();
        *nth += 1;
        let nth = *nth;
        let wanted = |fault: &&Fault| (fault.slot, fault.call, fault.nth) == (slot, call, nth);
        let fault = self.schedule.faults.iter().find(wanted).copied();
        let fault = fault.filter(|_| self.active.load(Ordering::Relaxed));
        let at = Instant::now();
        if let Some(fault) = fault {
            state.met.push(fault);
            let until = at + std::time::Duration::from_millis(fault.what.millis().into());
            state.last_met = state.last_met.max(Some(until));
        }
        let what = fault.map(|fault| fault.what);
        state.asked.push(Asked { at, slot, call, name: name.to_owned(), nth, fault: what });
        drop(state);
        self.asked.notify_waiters();
        what
    }

    /// Nothing goes wrong any more.
    pub(crate) fn stop(&self) {
        self.active.store(false, Ordering::Relaxed);
    }

    /// People have done what they do on the path: what was paused goes on.
    pub(crate) fn play_is_over(&self) {
        let paused = |fault: &Fault| fault.what == What::Paused;
        let mut state = self.state();
        if state.met.iter().any(paused) {
            state.last_met = Some(Instant::now());
        }
        drop(state);
        self.played.send_replace(true);
    }

    /// Waits until then.
    pub(crate) async fn until_played(&self) {
        // The sender is ours.
        let _ = self.played.subscribe().wait_for(|played| *played).await;
    }

    /// Waits until something has gone wrong.
    pub(crate) async fn until_met(&self) {
        self.until(|state| !state.met.is_empty()).await;
    }

    /// Waits until something of this kind was asked.
    pub(crate) async fn until_asked(&self, slot: Slot, call: Call) {
        self.until(|state| state.counts.contains_key(&(slot, call))).await;
    }

    async fn until(&self, is: impl Fn(&State) -> bool) {
        loop {
            let told = self.asked.notified();
            if is(&self.state()) {
                return;
            }
            // What is told between the look and here is told to `told`.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(200), told).await;
        }
    }

    pub(crate) fn last_met(&self) -> Option<Instant> {
        self.state().last_met
    }

    pub(crate) fn met(&self) -> Vec<Fault> {
        self.state().met.clone()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    pub(crate) fn count(&self, slot: Slot, call: Call) -> u32 {
        self.state().counts.get(&(slot, call)).copied().unwrap_or_default()
    }

    pub(crate) fn gone_for_real(&self) {
        self.state().real_gone += 1;
    }

    pub(crate) fn real_gone(&self) -> u32 {
        self.state().real_gone
    }

    pub(crate) fn crashed(&self) {
        self.state().crashes += 1;
    }

    pub(crate) fn crashes(&self) -> u32 {
        self.state().crashes
    }
}
