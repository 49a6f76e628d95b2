//! Promises that hold against a hostile script, a node that lies, a person who empties statuses, and a
//! neighbour that floods: on a real cluster, with the operator that is deployed in it. docs/understand/faults.md says
//! what is promised.
//!
//! `LONGSHORE_HOSTILE_LONG=1` tries more ways of each kind, and heavier floods; `make hostile` sets it.
//!
//! It needs root and the cluster of `make cluster-up`: scripts tell a listener in its network of themselves
//! (tests/hostile/witness.rs), and the nodes that lie are fake ones (tests/node).

// clippy knows `#[test]` functions, and not what they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "end_to_end/action.rs"]
mod action;
#[path = "end_to_end/namespace.rs"]
mod namespace;
#[path = "node/mod.rs"]
mod node;
#[path = "faults/told.rs"]
mod told;

#[path = "hostile/attack.rs"]
mod attack;
#[path = "hostile/oracle.rs"]
mod oracle;
#[path = "hostile/witness.rs"]
mod witness;

#[path = "hostile/files.rs"]
mod files;
#[path = "hostile/forgery.rs"]
mod forgery;
#[path = "hostile/frozen.rs"]
mod frozen;
#[path = "hostile/nodes.rs"]
mod nodes;
#[path = "hostile/nodes_gone.rs"]
mod nodes_gone;
#[path = "hostile/reach.rs"]
mod reach;
#[path = "hostile/signals.rs"]
mod signals;
#[path = "hostile/statuses.rs"]
mod statuses;
// By its name the last: what it measures is measured while no other test runs.
#[path = "hostile/storms.rs"]
mod storms;
