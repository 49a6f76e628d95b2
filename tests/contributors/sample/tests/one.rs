mod area;
#[path = "shared/part.rs"]
mod part;
mod support {
    pub(crate) mod action;
}
