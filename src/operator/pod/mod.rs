//! The pod of an attempt: how it is named and built, and what the API server made of it. Pure.

pub mod attempt;
pub mod build;
mod mutated_packages;
pub mod mutation;
pub mod names;
pub mod packages;
pub mod resolver;
mod runner;
mod same_content;
pub mod security;
pub mod tombstone;
pub mod trace_context;
pub mod view;
mod volumes;
