#[test]
fn in_an_area() {}
