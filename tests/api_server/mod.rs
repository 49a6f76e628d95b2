//! The API server's part, before any operator sees an action: which actions it refuses and with which words,
//! which fields it sets, how it prints them, and who owns fields.

mod request;

mod accepted;
mod documented;
mod fields;
mod printed;
mod refused;
mod refused_pods;
mod templates;
