use regex::Regex;

use super::*;

const SHA256: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn sha512() -> String {
    format!("sha512:{}", "0f".repeat(64))
}

/// Accepted references, and their full form.
fn good() -> Vec<(String, String)> {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    let written = |text: &str, out: &str| (text.to_owned(), out.to_owned());
    vec![
        written("alpine:3", "docker.io/library/alpine:3"),
        written("library/alpine:3", "docker.io/library/alpine:3"),
        written("docker.io/alpine:3", "docker.io/library/alpine:3"),
        written("index.docker.io/bitnami/kubectl:1", "docker.io/bitnami/kubectl:1"),
        written("bitnami/kubectl:1.2.3", "docker.io/bitnami/kubectl:1.2.3"),
        written("a.b:1", "docker.io/library/a.b:1"),
        written("a_b/c:1", "docker.io/a_b/c:1"),
        written("a--b__c/d.e/f:1", "docker.io/a--b__c/d.e/f:1"),
        // As the kubelet reads it: an image named like a host, with a tag that looks like a port.
        written("host:5000", "docker.io/library/host:5000"),
        same("registry.example.com/worker-tools:2026.11"),
        same("registry.example.com:5000/a/b/c:V1_-.x"),
        same("localhost/x:1"),
        same("localhost:5000/x:1"),
        same("host:5000/x:1"),
        same("Registry.Example.COM/x:1"),
        same("HOST/x:1"),
        same("10.77.0.2:5000/hello:1"),
        same("[fd00::1]/x:1"),
        same("[fd00::1]:5000/x:1"),
        same("xn--n3h.com/x:1"),
        same("docker.io:443/x:1"),
        same(&format!("r.example.com/x@{SHA256}")),
        same(&format!("r.example.com/x:1@{SHA256}")),
        same(&format!("r.example.com/x@{}", sha512())),
        same(&format!("r.example.com/x:{}", "t".repeat(128))),
        same(&format!("r.example.com/{}:1", "x".repeat(255))),
    ]
}

/// References that both pattern and parser refuse.
fn bad() -> Vec<String> {
    let mut bad: Vec<String> = [
        "",
        " ",
        "alpine",
        "host:5000/x",
        "registry.example.com/x",
        "localhost/x",
        "alpine:",
        "alpine:@",
        "r.example.com/x:",
        ":1",
        "/x:1",
        "x/:1",
        "r.example.com//x:1",
        "r.example.com/:1",
        "r.example.com/x/:1",
        "registry.example.com/../evil:1",
        "registry.example.com/./x:1",
        "../x:1",
        "r.example.com/a/../b:1",
        "r.example.com/X:1",
        "Alpine:3",
        "lib/Alpine:3",
        "r.example.com/x y:1",
        " alpine:3",
        "alpine:3 ",
        "alpine:3\n",
        "alpine\t:3",
        "alpine:3\u{a0}",
        "alpíne:3",
        "аlpine:3",
        "alpine:３",
        "alpine:ü",
        "\u{feff}alpine:3",
        "https://r.example.com/x:1",
        "oci://r.example.com/x:1",
        "r.example.com:/x:1",
        "r.example.com:port/x:1",
        "r.example.com:123456/x:1",
        "-r.example.com/x:1",
        "r-.example.com/x:1",
        "r..example.com/x:1",
        ".r/x:1",
        "r.example.com./x:1",
        "r.exam_ple.com/x:1",
        "[fd00::1/x:1",
        "[]/x:1",
        "[g]/x:1",
        "fd00::1/x:1",
        "r.example.com/x:.1",
        "r.example.com/x:-1",
        "r.example.com/x:a/b",
        "r.example.com/x:1:2",
        "a:1:2",
        "r.example.com/x:1@",
        "r.example.com/x@sha256",
        "r.example.com/x@sha256:",
        "r.example.com/x@sha256:abc",
        "r.example.com/x@md5:900150983cd24fb0d6963f7d28e17f72",
        "user:password@r.example.com/x:1",
        "r.example.com/_x:1",
        "r.example.com/x_:1",
        "r.example.com/a..b:1",
        "r.example.com/a___b:1",
        "r.example.com/a._b:1",
        "r.example.com/a.-b:1",
        "r.example.com/x?y:1",
        "r.example.com/x%2e:1",
        "r.example.com/x\\y:1",
        "r.example.com/x#y:1",
        "$(X):1",
        "r.example.com/x;y:1",
    ]
    .map(ToOwned::to_owned)
    .to_vec();
    bad.extend([
        format!("r.example.com/x:{}", "t".repeat(129)),
        format!("r.example.com/x@{}", SHA256.to_uppercase()),
        format!("r.example.com/x@{}", SHA256.replace("ba78", "BA78")),
        format!("r.example.com/x@{SHA256}0"),
        format!("r.example.com/x@sha512:{}", "0".repeat(64)),
        format!("r.example.com/x@{SHA256}@{SHA256}"),
        format!("r.example.com/x@{SHA256}:1"),
        format!("@{SHA256}"),
        SHA256.to_owned() + ":1",
    ]);
    bad
}

#[test]
fn reads_what_the_kubelet_reads() {
    for (text, written) in good() {
        let reference = ImageReference::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(reference.to_string(), written, "{text}");
        assert_eq!(ImageReference::parse(&written).unwrap(), reference, "written out, it is the same");
    }
}

#[test]
fn refuses_the_rest_with_words() {
    for text in bad() {
        let error = ImageReference::parse(&text).expect_err(&text).to_string();
        assert!(error.contains("image"), "{error}");
        assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{error}");
    }
}

#[test]
fn pattern_and_parser_agree() {
    let pattern = Regex::new(PATTERN).unwrap();
    for (text, _) in good() {
        assert!(pattern.is_match(&text), "the pattern refuses {text:?}");
    }
    for text in bad() {
        assert!(!pattern.is_match(&text), "the pattern accepts {text:?}");
    }
    assert!(!PATTERN.contains('\''), "it must fit into CEL's r'...'");
}

#[test]
fn numbers_are_the_parsers() {
    let host = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    assert_eq!(host.len(), 253);
    let longest = format!("{host}:65535/{}:{}@{}", "x".repeat(255), "t".repeat(128), sha512());
    assert_eq!(longest.len(), MAX_LENGTH);
    assert!(ImageReference::parse(&longest).is_ok());

    let pattern = Regex::new(PATTERN).unwrap();
    for text in [
        format!("{host}e/x:1"),
        format!("r.example.com/{}:1", "x".repeat(256)),
        // "library/" counts.
        format!("{}:1", "x".repeat(250)),
        "r.example.com:65536/x:1".to_owned(),
        "r.example.com:0/x:1".to_owned(),
    ] {
        assert!(pattern.is_match(&text), "{text}");
        assert!(ImageReference::parse(&text).is_err(), "{text}");
    }
    assert_eq!(
        ImageReference::parse(&"x".repeat(1 << 20)),
        Err(ReferenceError::TooLong { length: 1 << 20 }),
        "and the text is not repeated"
    );
}

#[test]
fn says_what_to_write_instead() {
    let error = |text: &str| ImageReference::parse(text).unwrap_err().to_string();
    assert_eq!(
        error("registry.example.com/tools"),
        "image \"registry.example.com/tools\" has no tag: write the tag or digest that is meant, for example \
         registry.example.com/tools:1.4 (an image without a tag would be :latest, which changes under you)"
    );
    assert_eq!(
        error("r.example.com/Team/tools:1"),
        "image \"r.example.com/Team/tools:1\" has upper case in its repository: write \"team\""
    );
    assert!(error("registry.example.com/../evil:1").contains("\"..\""));
    assert!(error("alpine:").contains("has the tag \"\""));
    assert!(error("alpine:3\n").contains(r"the character '\n'"));
    assert!(error("https://alpine:3").contains("leave out"));
}

#[test]
fn a_digest_wins_and_pins_without_the_tag() {
    let reference = ImageReference::parse(&format!("alpine:3@{SHA256}")).unwrap();
    assert_eq!((reference.tag(), reference.digest()), (Some("3"), Some(SHA256)));
    assert_eq!((reference.registry(), reference.repository()), ("docker.io", "library/alpine"));
    assert_eq!(reference.pinned(SHA256), format!("docker.io/library/alpine@{SHA256}"));
}

proptest::proptest! {
    /// Uses texts made of the grammar's own pieces, close to its borders. It has no zeros: only the parser
    /// knows that port 0 is invalid.
    #[test]
    fn pattern_and_parser_agree_everywhere(
        text in "([a-c]|[A-C1-3]|[.]|_|-|/|:|@|\\[|\\]|localhost|docker[.]io/){0,8}(:[1a.]{1,3}|@sha256:[0-9a-f]{64})?"
    ) {
        thread_local!(static PARSED: Regex = Regex::new(PATTERN).unwrap());
        let matches = PARSED.with(|pattern| pattern.is_match(&text));
        proptest::prop_assert_eq!(matches, ImageReference::parse(&text).is_ok(), "{}", text);
    }
}
