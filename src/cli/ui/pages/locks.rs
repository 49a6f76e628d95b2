//! The locks, with their queues.

use k8s_openapi::jiff::Timestamp;
use maud::{Markup, html};

use super::parts::{action_path, problem, table};
use crate::cli::{
    locks::table as lines,
    ui::watched::Scope,
    view::locks::{Claim, LockView},
};

/// The main part of the page.
pub(in crate::cli::ui) fn main(locks: &[LockView], scope: &Scope, revision: u64, now: Timestamp) -> Markup {
    // The table has a line for each claim, and one for a lock that nobody holds.
    let claims: Vec<(&LockView, Option<&Claim>)> = locks
        .iter()
        .flat_map(|lock| {
            std::iter::once((lock, lock.holder.as_ref()))
                .chain(lock.waiting.iter().map(move |claim| (lock, Some(claim))))
        })
        .collect();
    html! {
        h1 { "Locks" }
        @if let Scope::Namespace(namespace, why) = scope {
            details.note { summary { "Those of the namespace " (namespace) " alone." } (problem(why)) }
        }
        div #locks data-live={ "/events?since=" (revision) } {
            @if locks.is_empty() { p { "No run holds a lock or waits for one." } }
            @else {
                (table("Locks: who holds them, and who waits", &lines(locks, true, now), |row, column, _| {
                    let (lock, claim) = claims.get(row)?;
                    let claim = claim.filter(|claim| column == 3 && !claim.only_lease)?;
                    Some(action_path(&lock.namespace, &claim.action))
                }))
            }
        }
    }
}
