//! Walls within `src/`: what a part of the code must not know of. Each is read off the sources, so that nobody
//! has to remember it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::LazyLock,
};

use regex::Regex;

/// A part of `src/` and what its files must not name.
struct Wall {
    folders: &'static [&'static str],
    /// Fewer files are not believed to be all.
    least: usize,
    forbidden: &'static [&'static str],
}

/// A decision can be repeated: these files have no client, no task, no log and no clock of their own.
const PURE: Wall = Wall {
    folders: &["operator/lifecycle", "operator/pod", "operator/spec"],
    least: 45,
    forbidden: &[
        r"kube::(?:Client|Api|client)\b",
        r"\bkube::\{[^;]*\b(?:Client|Api)\b",
        r"\btokio\b",
        r"\btracing\b",
        r"\b(?:Timestamp|Instant|SystemTime|Zoned)::now\b",
        r"\bstd::(?:fs|net|process|thread|env)\b",
    ],
};

/// What runs in a user's container, what it tells, and how that is read knows nothing of Kubernetes.
const RUNNER: Wall = Wall {
    folders: &["reading", "record", "runner"],
    least: 38,
    forbidden: &[r"\bkube\b", r"\bk8s_openapi\b"],
};

/// Stored logs outlive their cluster's objects: the archive knows nothing of Kubernetes, nor of the operator.
const ARCHIVE: Wall = Wall {
    folders: &["archive"],
    least: 10,
    forbidden: &[r"\bkube\b", r"\bk8s_openapi\b", r"\bcrate::(?:api|operator|runner|registry|fetch|cli)\b"],
};

/// Comments and texts.
static SKIPPED: LazyLock<Regex> = LazyLock::new(|| {
    let skipped = r#"(?sx) //[^\n]* | /\*.*?\*/ | \bb?r\#+".*?"\#+ | \bb?r"[^"]*" | "(?:[^"\\]|\\.)*" | '(?:[^'\\\n]|\\(?:x..|u\{[^}]*\}|.))' "#;
    Regex::new(skipped).unwrap()
});
static SEEN_BY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bpub\(in [\w:]+\)").unwrap());
static TESTS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))? )?mod (\w+)\s*([;{])").unwrap());
static USES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([\w:{},*\s]+);").unwrap());
static INLINE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").unwrap());
static CHILD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bmod (\w+)\s*;").unwrap());
static TOKEN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w+|::|[{},*]").unwrap());
/// All of `src/`.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(Source::all);

/// A file below `src/`, without its tests and its comments.
struct Source {
    /// Below `src/`.
    path: String,
    module: Vec<String>,
    code: String,
}

impl Source {
    fn all() -> Vec<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder of src") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&path).expect("a source");
                    let path =
                        path.strip_prefix(&root).expect("it is below src").to_str().unwrap().to_owned();
                    sources.push(Self { module: module(&path), code: without_comments(&text), path });
                }
            }
        }
        let tests: BTreeSet<Vec<String>> = sources.iter_mut().flat_map(Self::take_out_tests).collect();
        sources.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
        sources
    }

    /// Takes the tests out that are in the file, and names the modules of tests that are in others.
    fn take_out_tests(&mut self) -> Vec<Vec<String>> {
        let mut elsewhere = Vec::new();
        while let Some(found) = TESTS.captures(&self.code) {
            let (begin, end) = (found.get(0).unwrap().start(), found.get(0).unwrap().end());
            let end = if &found[2] == ";" {
                elsewhere.push([&self.module[..], &[found[1].to_owned()]].concat());
                end
            } else {
                closing(&self.code, end - 1) + 1
            };
            self.code.replace_range(begin..end, "");
        }
        elsewhere
    }

    /// The paths of this crate that the file names, from the crate's root.
    fn named(&self) -> BTreeSet<Vec<String>> {
        let children: Vec<&str> =
            CHILD.captures_iter(&self.code).map(|found| found.get(1).unwrap().as_str()).collect();
        let mut named = BTreeSet::new();
        for found in USES.captures_iter(&self.code) {
            named.extend(leaves(&found[1]).iter().filter_map(|leaf| self.absolute(leaf, &children)));
        }
        let body = USES.replace_all(&self.code, "");
        for found in INLINE.find_iter(&body) {
            let leaf: Vec<String> = found.as_str().split("::").map(str::to_owned).collect();
            named.extend(self.absolute(&leaf, &[]));
        }
        for name in children {
            if body.contains(&format!("{name}::")) {
                named.insert([&self.module[..], &[name.to_owned()]].concat());
            }
        }
        named
    }

    /// `None` for a path of another crate.
    fn absolute(&self, path: &[String], children: &[&str]) -> Option<Vec<String>> {
        let up = path.iter().take_while(|part| *part == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([&self.module[..], &path[1..]].concat()),
            "super" => Some([&self.module[..self.module.len().checked_sub(up)?], &path[up..]].concat()),
            first if children.contains(&first) => Some([&self.module[..], path].concat()),
            _ => None,
        }
    }
}

/// `operator/pod/mod.rs` is the module `operator::pod`.
fn module(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The end of the block whose brace opens at `from`.
fn closing(code: &str, from: usize) -> usize {
    let mut depth = 0;
    for (at, letter) in code[from..].char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => return from + at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    panic!("a block without an end")
}

/// Comments and texts are left out: they may name what the code must not. Who may see an item is no import.
fn without_comments(text: &str) -> String {
    SEEN_BY.replace_all(&SKIPPED.replace_all(text, " "), "pub").into_owned()
}

/// The paths that a tree of `use` holds.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut prefixes: Vec<Vec<String>> = vec![Vec::new()];
    let mut path: Vec<String> = Vec::new();
    let mut renamed = false;
    for token in TOKEN.find_iter(tree) {
        match token.as_str() {
            "::" => {}
            "{" => {
                prefixes.push(path.clone());
            }
            "," | "}" => {
                if path.len() > prefixes.last().map_or(0, Vec::len) {
                    all.push(path.clone());
                }
                if token.as_str() == "}" {
                    prefixes.pop();
                }
                path = prefixes.last().cloned().unwrap_or_default();
                renamed = false;
            }
            "as" => renamed = true,
            _ if renamed => {}
            name => path.push(name.to_owned()),
        }
    }
    if !path.is_empty() && prefixes.len() == 1 {
        all.push(path);
    }
    // `a::{self, b}` names `a`.
    for path in &mut all {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
    }
    all
}

fn breaches(wall: &Wall, sources: &[Source]) -> Vec<String> {
    let within = |source: &&Source| {
        wall.folders.iter().any(|folder| {
            source.path.starts_with(&format!("{folder}/")) || source.path == format!("{folder}.rs")
        })
    };
    let within: Vec<&Source> = sources.iter().filter(within).collect();
    assert!(within.len() >= wall.least, "{} files: are they still found?", within.len());
    let mut breaches = Vec::new();
    for forbidden in wall.forbidden {
        let forbidden = Regex::new(forbidden).expect("an expression");
        breaches.extend(within.iter().filter_map(|source| {
            let found = forbidden.find(&source.code)?;
            Some(format!("src/{} names {:?}", source.path, found.as_str()))
        }));
    }
    breaches
}

/// Which files import each other in a circle, each with the files on it that it imports.
fn circles(sources: &[Source]) -> Vec<String> {
    let files: BTreeMap<&[String], usize> =
        sources.iter().enumerate().map(|(at, source)| (&source.module[..], at)).collect();
    let imports: Vec<BTreeSet<usize>> = sources
        .iter()
        .enumerate()
        .map(|(own, source)| {
            let file = |path: Vec<String>| {
                (1..=path.len()).rev().find_map(|length| files.get(&path[..length]).copied())
            };
            source.named().into_iter().filter_map(file).filter(|file| *file != own).collect()
        })
        .collect();
    let reached = |from: usize| {
        let mut reached = BTreeSet::new();
        let mut open: Vec<usize> = imports[from].iter().copied().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(&imports[next]);
            }
        }
        reached
    };
    let reached: Vec<BTreeSet<usize>> = (0..sources.len()).map(reached).collect();
    let on_circle = |at: &usize| reached[*at].contains(at);
    (0..sources.len())
        .filter(on_circle)
        .map(|at| {
            let back: Vec<&str> = imports[at]
                .iter()
                .filter(|next| reached[**next].contains(&at))
                .map(|next| sources[*next].path.as_str())
                .collect();
            format!("src/{} imports {}", sources[at].path, back.join(", "))
        })
        .collect()
}

#[test]
fn what_decides_has_no_client_no_task_no_log_and_no_clock() {
    let breaches = breaches(&PURE, &SOURCES);
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn what_runs_in_a_container_of_others_knows_nothing_of_kubernetes() {
    let breaches = breaches(&RUNNER, &SOURCES);
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn stored_logs_know_nothing_of_kubernetes_nor_of_the_operator() {
    let breaches = breaches(&ARCHIVE, &SOURCES);
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = circles(&SOURCES);
    assert!(circles.is_empty(), "{circles:#?}");
}

fn source(path: &str, text: &str) -> Source {
    let mut source = Source { path: path.to_owned(), module: module(path), code: without_comments(text) };
    source.take_out_tests();
    source
}

#[test]
fn a_breach_is_noticed_and_a_comment_is_none() {
    let wall = Wall { folders: &["record"], least: 1, ..RUNNER };
    let fine = "//! Nothing of kube.\nconst WORDS: &str = \"kube\";\n#[cfg(test)]\nmod tests {\n use kube::Api;\n}\n";
    assert_eq!(breaches(&wall, &[source("record/a.rs", fine)]), Vec::<String>::new());
    let bad = source("record/a.rs", "use kube::Api;");
    assert_eq!(breaches(&wall, &[bad]), ["src/record/a.rs names \"kube\""]);
    let wall = Wall { folders: &["operator/spec"], least: 1, ..PURE };
    for bad in ["use kube::{Client, ResourceExt};", "let now = Timestamp::now();", "tokio::spawn(x)"] {
        assert_eq!(breaches(&wall, &[source("operator/spec/a.rs", bad)]).len(), 1, "{bad}");
    }
}

#[test]
fn a_circle_is_noticed_however_it_is_written() {
    let a = || source("a/mod.rs", "mod b;\npub use self::b::B;");
    assert!(circles(&[a(), source("a/b.rs", "use std::fmt;")]).is_empty());
    for back in ["use super::A;", "use crate::{a::{A, C}, x::y};", "fn f() { crate::a::f() }"] {
        assert_eq!(circles(&[a(), source("a/b.rs", back)]).len(), 2, "{back}");
    }
    assert!(circles(&[a(), source("a/b.rs", "pub(in crate::a) struct B;")]).is_empty());
    let tests = "#[cfg(test)]\nmod tests {\n    use super::super::A;\n}";
    assert!(circles(&[a(), source("a/b.rs", tests)]).is_empty());
    let paths = leaves("crate::{a::{self, B as C}, d::*, e}");
    let paths: Vec<String> = paths.iter().map(|path| path.join("::")).collect();
    assert_eq!(paths, ["crate::a", "crate::a::B", "crate::d::*", "crate::e"]);
}
