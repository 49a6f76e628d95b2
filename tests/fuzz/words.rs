//! Texts, numbers, names and images that somebody may write, by mistake or on purpose.

use serde_json::{Value, json};

use crate::support::{namespace::setting, random::Random};

/// In Secrets and in values of variables; nowhere else, and never in the operator's log.
pub(crate) const SENTINEL: &str = "sentinel-5f2c81d09ab74e36";

const TEXTS: &[&str] = &[
    "",
    " ",
    "\t\r\n",
    "\n",
    "a\u{0}b",
    "\\u0000",
    "%00",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{7f}\u{80}\u{9f}",
    "\u{202e}gnp.exe",
    "e\u{301}\u{323}",
    "ü",
    "日本語のテキスト",
    "👩‍👩‍👧‍👦",
    "\u{feff}bom",
    "\u{fffd}\u{ffff}\u{10ffff}",
    "$(HOST)",
    "$$(HOST)",
    "$(",
    "${HOST}",
    "`id`",
    "$(id)",
    "'; rm -rf / #",
    "\" --privileged",
    "yes",
    "null",
    "~",
    "1e3",
    "0x1f",
    "0o777",
    "2026-11-23",
    ": {a: b}",
    "- a\n- b",
    "|\n  text",
    "&a *a",
    "!!python/object:os.system",
    "<<: *default",
    "# comment",
    "{{ .Values.a }}",
    "..",
    ".",
    "../../../etc/passwd",
    "..%2f..%2fsecrets",
    "/etc/shadow",
    "C:\\windows",
    "a/b",
    "a//b",
    "/",
    "-",
    "--help",
    "=",
    "A=B",
    "__proto__",
    "longshore.dev/action",
    "LONGSHORE_OUTPUT",
    "PATH",
    "LD_PRELOAD",
    "#!/bin/sh",
    "#!",
    "#!\u{0}",
    "#!/usr/bin/env -S a b c d",
    "#!/proc/self/exe",
    "9",
    "-1",
    "1Ei",
    "1e400",
    "NaN",
    "100m",
    "sha256:",
    "true",
];

const NAMES: &[&str] = &[
    "a",
    "0",
    "9-digits-first",
    "a.b.c",
    "a..b",
    ".a",
    "a.",
    "-a",
    "a-",
    "A",
    "a_b",
    "a/b",
    "..",
    ".",
    "../b",
    "a%2fb",
    "a b",
    "ü",
    "default",
    "kube-root-ca.crt",
    "sentinel",
    "pull",
    "pull-odd",
    "pull-typed",
    "absent",
    "settings",
    "xn--bcher-kva",
    "a\u{0}",
    "a:b",
    "a@b",
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e18",
    "1.5",
    "1e-9",
    "1e308",
    "604800",
    "604801",
    "86400",
];

/// A text, most often a short one.
pub(crate) fn text(random: &mut Random) -> String {
    match random.below(20) {
        0 => "x".repeat(*random.pick(&[62, 63, 64, 252, 253, 254, 512, 513, 1024, 8192, 8193])),
        1 => "ü".repeat(*random.pick(&[31, 32, 63, 64, 126, 127, 253, 254])),
        // Rarely: each write of a status stores it again.
        2 if random.percent(10) => "y\n".repeat(*random.pick(&[16_384, 65_536, 65_537, 98_304, 700_000])),
        3 => format!("{}{}", random.pick(TEXTS), random.pick(TEXTS)),
        4 => random.pick(NAMES).to_string(),
        _ => (*random.pick(TEXTS)).to_owned(),
    }
}

/// The name of something that may exist.
pub(crate) fn name(random: &mut Random) -> String {
    match random.below(10) {
        0 => "n".repeat(*random.pick(&[62, 63, 64, 253, 254])),
        1 => format!("{}.{}", "n".repeat(63), "m".repeat(*random.pick(&[63, 189, 190]))),
        _ => (*random.pick(NAMES)).to_owned(),
    }
}

pub(crate) fn number(random: &mut Random) -> Value {
    serde_json::from_str(random.pick::<&str>(NUMBERS)).expect("a number")
}

pub(crate) fn time(random: &mut Random) -> Value {
    json!(random.pick(&[
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "2026-11-23T00:00:00+23:59",
        "2026-12-31T23:59:60Z",
        "2262-04-11T23:47:17Z",
        "9999-12-30T22:00:00Z",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "2026-11-23T00:00:00.123456789123Z",
        "2026-11-23t00:00:00z",
        "yesterday",
    ]))
}

/// An image by the grammar, which may or may not be there.
pub(crate) fn image(random: &mut Random) -> String {
    let (plain, tls) = (setting("LONGSHORE_REGISTRY"), setting("LONGSHORE_TLS_REGISTRY"));
    let (basic, token) = (setting("LONGSHORE_BASIC_REGISTRY"), setting("LONGSHORE_TOKEN_REGISTRY"));
    match random.below(24) {
        0 => format!("{plain}/absent:1"),
        1 => format!("{plain}/examples:absent"),
        2 => format!("{plain}/examples@sha256:{}", "0".repeat(64)),
        3 => format!("{plain}/examples:0.1.0@sha256:{}", "a1".repeat(32)),
        4 => format!("{tls}/examples:0.1.0"),
        5 => format!("{basic}/test/private-busybox:1"),
        6 => format!("{token}/test/private-busybox:1"),
        7 => "nowhere.invalid/tools:1".into(),
        8 => "127.0.0.1:1/tools:1".into(),
        9 => "[::1]:1/tools:1".into(),
        // The API server's address: it answers, and is no registry.
        10 => "kubernetes.default.svc:443/tools:1".into(),
        11 => format!("{plain}/{}:1", "a/".repeat(100) + "b"),
        // Nobody answers there.
        12 if random.percent(20) => "198.51.100.1:5000/tools:1".into(),
        _ => format!("{plain}/examples:0.1.0"),
    }
}

/// An image that is none.
pub(crate) fn odd_image(random: &mut Random) -> String {
    match random.below(14) {
        0 => String::new(),
        1 => "tools".into(),
        2 => "tools:latest".into(),
        3 => "registry.example.com/../evil:1".into(),
        4 => "https://registry.example.com/tools:1".into(),
        5 => "user:password@registry.example.com/tools:1".into(),
        6 => "TOOLS:1".into(),
        7 => format!("tools:{}", "t".repeat(129)),
        8 => format!("{}:1", "a".repeat(511)),
        9 => "tools@sha256:zz".into(),
        10 => "registry.example.com:99999/tools:1".into(),
        11 => "[::1/tools:1".into(),
        12 => "tools:1\n".into(),
        _ => text(random),
    }
}
