//! `kubectl longshore locks`: who holds the locks, and who waits.

use clap::Args;
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, api::ListParams};

use super::{
    connect::Session,
    error::CliError,
    output::Format,
    pages::all,
    table::{Cell, Table},
    terminal::{Terminal, print, tell},
    view::{
        duration::age,
        locks::{Claim, LockView, locks},
        summary::Tone,
    },
};
use crate::api::{DeploymentAction, LABEL_LOCK};

/// Lists the locks that a run holds or waits for.
#[derive(Debug, Args)]
pub(super) struct Locks {
    /// Show only this lock.
    name: Option<String>,
    /// Show the locks of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Print JSON or YAML.
    #[arg(short, long, value_name = "FORM")]
    output: Option<Format>,
}

impl Locks {
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let client = session.client.clone();
        let (actions, leases): (Api<DeploymentAction>, Api<Lease>) = if self.all_namespaces {
            (Api::all(client.clone()), Api::all(client))
        } else {
            (session.actions(), Api::namespaced(client, &session.namespace))
        };
        // Actions that name no lock are dropped while the pages come.
        let (actions, leases) = futures::join!(
            all(&actions, ListParams::default(), |action| {
                action
                    .status
                    .as_ref()
                    .and_then(|status| status.run.as_ref())
                    .is_some_and(|run| run.lock.is_some())
            }),
            leases_of_locks(&leases),
        );
        let mut locks = locks(&actions?, &leases);
        locks.retain(|lock| self.name.as_ref().is_none_or(|name| *name == lock.name));
        if let Some(form) = self.output {
            return print(&form.text(&locks)?);
        }
        if locks.is_empty() {
            let what = self.name.as_ref().map_or("lock".to_owned(), |name| format!("lock {name}"));
            tell(&format!("no run holds a {what} or waits for it"));
            return Ok(());
        }
        print(&table(&locks, self.all_namespaces, Timestamp::now()).text(&Terminal::stdout(), "", true))
    }
}

/// The Leases of locks. They add only the holders whose action is gone, and not everyone may read them.
pub(super) async fn leases_of_locks(leases: &Api<Lease>) -> Vec<Lease> {
    all(leases, ListParams::default().labels(LABEL_LOCK), |_| true).await.unwrap_or_default()
}

/// The locks, a line for each claim.
pub(super) fn table(locks: &[LockView], namespaces: bool, now: Timestamp) -> Table {
    let mut header = vec!["LOCK", "STATE", "ACTION", "RUN", "SINCE", "NOTE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(&header);
    for lock in locks {
        let mut add = |state: Cell, claim: &Claim, note: String| {
            let mut row = vec![
                Cell::of(&lock.name),
                state,
                Cell::of(&claim.action),
                Cell::number(claim.run),
                Cell::of(claim.since.map(|time| age(time, now)).unwrap_or_default()),
                Cell::of(note),
            ];
            if namespaces {
                row.insert(0, Cell::of(&lock.namespace));
            }
            table.add(row);
        };
        if let Some(holder) = &lock.holder {
            add(Cell::toned("held", Tone::Busy), holder, note(holder, now));
        } else {
            let nobody =
                Claim { action: String::new(), run: None, since: None, until: None, only_lease: false };
            add(Cell::toned("free", Tone::Good), &nobody, String::new());
        }
        for (at, claim) in lock.waiting.iter().enumerate() {
            add(Cell::of(format!("waits, place {}", at + 1)), claim, String::new());
        }
    }
    table
}

fn note(holder: &Claim, now: Timestamp) -> String {
    match holder.until {
        _ if holder.only_lease => "the action is gone; its pod may still run".to_owned(),
        Some(until) if until > now => format!("has ended; kept for {} at most", age(now, until)),
        Some(_) => "has ended".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn action(name: &str, lock: &Value, finished: Option<&str>) -> DeploymentAction {
        serde_json::from_value(json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "DeploymentAction",
            "metadata": {"name": name, "namespace": "shop"}, "spec": {}, "status": {"run": {
                "number": 4, "id": "x-4", "generation": 1, "attempt": 1, "trigger": "Created", "specHash": "",
                "requestedAt": "2026-01-01T00:00:00Z", "finishedAt": finished, "lock": lock}}}))
        .unwrap()
    }

    #[test]
    fn holders_and_those_who_wait_are_listed_in_their_order() {
        let acquired = "2026-01-01T00:00:10Z";
        let actions = vec![
            action("late", &json!({"name": "prod", "ticket": "1000"}), None),
            action("soon", &json!({"name": "prod", "ticket": "999"}), None),
            action("holds", &json!({"name": "prod", "ticket": "5", "acquiredAt": acquired}), None),
            action("gave-up", &json!({"name": "prod", "ticket": "6"}), Some(acquired)),
            action(
                "ended",
                &json!({"name": "test", "ticket": "5", "acquiredAt": acquired, "heldUntil": "2026-01-01T00:02:10Z"}),
                Some(acquired),
            ),
            action("next", &json!({"name": "free", "ticket": "7"}), None),
        ];
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {"name": "longshore-lock-old", "namespace": "shop", "labels": {"longshore.dev/lock": "old"}},
            "spec": {"holderIdentity": "gone/1a2b3c4d-3", "acquireTime": "2026-01-01T00:00:20.000000Z"}}))
        .unwrap();
        let now = "2026-01-01T00:01:10Z".parse().unwrap();
        let text = table(&locks(&actions, &[lease]), false, now).text(&Terminal::default(), "", true);
        insta::assert_snapshot!(text, @r"
        LOCK   STATE            ACTION   RUN   SINCE   NOTE
        free   free
        free   waits, place 1   next     4     70s
        old    held             gone     3     50s     the action is gone; its pod may still run
        prod   held             holds    4     60s
        prod   waits, place 1   soon     4     70s
        prod   waits, place 2   late     4     70s
        test   held             ended    4     60s     has ended; kept for 60s at most
        ");
    }
}
