#[test]
fn far_below() {}

#[test]
fn far_below_and_further() {}
