#[path = "shared/part.rs"]
mod part;
