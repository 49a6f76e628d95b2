//! `tests/find_test.py`, by which `make test-one` finds a test in the sources.

use std::process::Command;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contributors/sample");

/// The lines about the tests that it finds in the package at `root`, or its message.
fn find(root: &str, wanted: &str) -> Result<Vec<String>, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/find_test.py");
    let output = Command::new("python3").args([script, wanted]).current_dir(root).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout).lines().map(Into::into).collect())
    } else {
        Err(text(output.stderr))
    }
}

#[test]
fn a_test_is_found_wherever_it_lives() {
    for (wanted, found) in [
        ("in_a_module", "lib\tsample\tsrc/lib.rs\ttests::deep::in_a_module"),
        ("behind_attributes", "lib\tsample\tsrc/lib.rs\ttests::behind_attributes"),
        ("in_a_macro", "lib\tsample\tsrc/inner.rs\tinner::in_a_macro"),
        ("of_the_program", "bin\tsample\tsrc/main.rs\tof_the_program"),
        ("one::part::of_two_targets", "test\tone\ttests/shared/part.rs\tpart::of_two_targets"),
        ("in_support", "test\tone\ttests/support/action.rs\tsupport::action::in_support"),
        ("in_an_area", "test\tone\ttests/area/mod.rs\tarea::in_an_area"),
    ] {
        assert_eq!(find(SAMPLE, wanted), Ok(vec![found.to_owned()]), "{wanted}");
    }
}

#[test]
fn its_name_its_path_its_file_and_a_part_of_them_find_it() {
    let found = "lib\tsample\tsrc/inner/below.rs\tinner::below::far_below_and_further";
    for wanted in
        ["far_below_and_further", "_and_further", "below::far_below_and", "src/inner/below.rs::far_below_and"]
    {
        assert_eq!(find(SAMPLE, wanted), Ok(vec![found.to_owned()]), "{wanted}");
    }
    // A whole name is that test alone; a part is all tests that have it.
    assert_eq!(find(SAMPLE, "far_below").map(|found| found.len()), Ok(1));
    assert_eq!(find(SAMPLE, "inner::below").map(|found| found.len()), Ok(2));
}

#[test]
fn a_name_of_no_test_or_of_several_targets_is_refused_with_names_to_write() {
    for (wanted, words) in [
        ("far_bellow", ["no test has 'far_bellow'", "make test-one T=lib::inner::below::far_below\n"]),
        ("no_test", ["no test has 'no_test'", "\n"]),
        ("of_two", ["T=one::part::of_two_targets\n", "T=two::part::of_two_targets\n"]),
    ] {
        let message = find(SAMPLE, wanted).unwrap_err();
        for word in words {
            assert!(message.contains(word), "{wanted}: {message}");
        }
    }
}

#[test]
fn tests_of_this_repository_are_found() {
    let wanted = "src/record/frame.rs::a_cut_falls_between_characters";
    let found = "lib\tlongshore\tsrc/record/frame.rs\trecord::frame::tests::a_cut_falls_between_characters";
    assert_eq!(find(REPOSITORY, wanted), Ok(vec![found.to_owned()]));
}
