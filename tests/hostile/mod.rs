//! A hostile script, a node that lies, a person who empties statuses and a neighbour that floods: the
//! promises of docs/understand/faults.md hold against each. This runs on a real cluster, against its deployed operator.
//!
//! `LONGSHORE_HOSTILE_LONG=1` tries more ways of each kind, and heavier floods; `make hostile` sets it.
//!
//! It needs root and the cluster of `make cluster-up`: scripts tell a listener in its network of themselves
//! (tests/hostile/witness.rs), and the nodes that lie are fake ones (tests/node).

mod attack;
mod oracle;
mod witness;

mod files;
mod forgery;
mod frozen;
mod nodes;
mod nodes_gone;
mod reach;
mod signals;
mod statuses;
// Its name makes it the last: it measures while no other test runs.
mod storms;
