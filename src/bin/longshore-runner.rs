//! The program that runs an action's script inside the action's container.
fn main() {}
