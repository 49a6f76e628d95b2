//! An operator in this process: the real one, with its real Lease, on a runtime of its own. A crash is
//! the end of that runtime and of all that it was about to do; then another one starts.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use clap::Parser;
use kube::Client;
use longshore::operator::{options::Options, process::run::run_with};

use super::{
    plan::Plan,
    scene::Place,
    schedule::Slot,
    wire::{Life, Memory, Wire},
};

/// How soon a container that has ended is there again.
const AGAIN: Duration = Duration::from_millis(20);
/// Threads of operators have names that begin so.
const THREAD: &str = "operator-";

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics of operators from now on. tokio keeps them from everybody else.
pub(crate) fn count_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name().is_some_and(|name| name.starts_with(THREAD)) {
                PANICS.fetch_add(1, Ordering::Relaxed);
            }
            print(panic);
        }));
    });
}

/// How many there were.
pub(crate) fn panics() -> usize {
    PANICS.load(Ordering::Relaxed)
}

/// An operator, started again whenever it ends.
pub(crate) struct Operator {
    stop: Arc<AtomicBool>,
    life: Arc<Mutex<Life>>,
    thread: Option<JoinHandle<()>>,
}

impl Operator {
    pub(crate) fn start(place: &Place, slot: Slot, plan: &Arc<Plan>, memory: Memory) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let life = Arc::new(Mutex::new(Life::new()));
        let wire = Wire {
            slot,
            plan: Arc::clone(plan),
            memory: Arc::new(memory),
            backend: place.backend.clone(),
            on: place.on.clone(),
            life: Life::new(),
        };
        let options = options(&place.namespace, slot);
        let (stopping, present) = (Arc::clone(&stop), Arc::clone(&life));
        let thread = std::thread::Builder::new()
            .name(format!("{THREAD}{}", place.namespace))
            .spawn(move || {
                while !stopping.load(Ordering::Relaxed) {
                    let life = Life::new();
                    *present.lock().unwrap() = life.clone();
                    // Asked to end between the two.
                    if stopping.load(Ordering::Relaxed) {
                        return;
                    }
                    live(Wire { life, ..wire.clone() }, options.clone());
                    std::thread::sleep(AGAIN);
                }
            })
            .expect("a thread");
        Self { stop, life, thread: Some(thread) }
    }

    /// Kills it for good.
    pub(crate) async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let life = self.life.lock().unwrap().clone();
        life.end();
        if let Some(thread) = self.thread.take() {
            tokio::task::spawn_blocking(|| thread.join()).await.expect("waiting").expect("its thread");
        }
    }
}

/// One instance, until its crash or its own end.
fn live(wire: Wire, options: Options) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let life = wire.life.clone();
    runtime.block_on(async move {
        let client = Client::new(wire, "default");
        tokio::select! {
            biased;
            () = life.over() => {}
            // As a process that ends: it is started again.
            _ = run_with(client, options, std::future::pending()) => {}
        }
    });
    runtime.shutdown_background();
}

fn options(namespace: &str, slot: Slot) -> Options {
    Options::parse_from(std::iter::once("longshore".to_owned()).chain(arguments(namespace, slot)))
}

/// The flags of `longshore run`.
pub(crate) fn arguments(namespace: &str, slot: Slot) -> Vec<String> {
    let mut all = vec![
        format!("--watch-namespace={namespace}"),
        format!("--namespace={namespace}"),
        // The lease of one that crashed is its own: nobody has to wait for it.
        format!("--identity={slot:?}"),
    ];
    let same = [
        "--runner-image=longshore.invalid/runner:0",
        "--runner-delivery=image-volume",
        "--plain-http-registry=10.77.0.2:5000",
        // Nothing here is named that it guards.
        "--use-policy=off",
        "--listen=127.0.0.1:0",
    ];
    all.extend(same.map(str::to_owned));
    all
}
