#[test]
fn in_support() {}
