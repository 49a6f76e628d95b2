#[test]
fn of_two_targets() {}
