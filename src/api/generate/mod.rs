//! The files that `make generate` writes from the types: the definitions and two pages of docs.

pub mod crd;
pub mod reasons;
pub mod reference;
pub mod texts;
