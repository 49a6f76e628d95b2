mod below;

proptest::proptest! {
    #[test]
    fn in_a_macro(text in ".*") {}
}
