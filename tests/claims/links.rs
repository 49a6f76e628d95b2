//! Links between pages lead to files and headings that exist. Pages that sources name exist, and sources
//! that pages name exist too.

use std::{
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// The folders of pages, and of sources that name pages.
const FOLDERS: [&str; 8] = ["docs", "charts", "tests", "src", "examples", "gitops", "images", "benches"];

/// Pages at the root.
const PAGES: [&str; 4] = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The lines of a page outside of code blocks.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    })
}

/// The fragment of a heading, as GitHub makes it: small letters, hyphens for spaces, no signs.
fn fragment(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|sign| sign.is_alphanumeric() || " -_".contains(*sign))
        .map(|sign| if sign == ' ' { '-' } else { sign })
        .collect()
}

/// The fault of a link on a page, if it has one.
fn fault(page: &Path, link: &str) -> Option<String> {
    let (path, wanted) = link.split_once('#').map_or((link, None), |(path, wanted)| (path, Some(wanted)));
    let target = if path.is_empty() { page.to_owned() } else { page.with_file_name(path) };
    if !target.exists() {
        return Some(format!("{}: no file at {link}", page.display()));
    }
    let wanted = wanted?;
    let text = fs::read_to_string(&target).unwrap_or_default();
    let found = prose(&text).filter(|line| line.starts_with('#')).any(|line| {
        let heading = line.trim_start_matches('#');
        fragment(heading) == wanted
    });
    (!found).then(|| format!("{}: no heading for {link}", page.display()))
}

/// Links to files of this repository.
fn links(page: &str) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let all = prose(page).flat_map(|line| link.captures_iter(line).map(|found| found[1].to_owned()));
    all.filter(|link| !link.contains("://")).collect()
}

/// The pages of this repository, each with its text.
pub(super) fn pages() -> Vec<(PathBuf, String)> {
    let root = root();
    let pages = PAGES.map(|page| root.join(page)).into_iter().filter(|page| page.exists());
    let pages = pages.chain(FOLDERS.iter().flat_map(|folder| files(&root.join(folder))));
    let pages = pages.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn links_lead_to_files_and_headings() {
    let (pages, mut faults, mut tried) = (pages(), Vec::new(), 0);
    for (page, text) in &pages {
        let links = links(text);
        tried += links.len();
        faults.extend(links.iter().filter_map(|link| fault(page, link)));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(pages.len() >= 20 && tried >= 100, "{tried} links on {} pages: are they found?", pages.len());
}

#[test]
fn sources_that_pages_name_exist() {
    let named =
        Regex::new(r"`((?:src|tests|images|charts|examples|gitops|crds|benches)/[A-Za-z0-9_./-]+)").unwrap();
    let (mut faults, mut tried) = (Vec::new(), 0);
    for (page, text) in pages() {
        for found in named.captures_iter(&text) {
            tried += 1;
            if !root().join(&found[1]).exists() {
                faults.push(format!("{}: {}", page.display(), &found[1]));
            }
        }
    }
    assert!(faults.is_empty(), "no such files: {faults:#?}");
    assert!(tried >= 200, "{tried} files are named: are they found?");
}

#[test]
fn pages_that_sources_name_exist() {
    let named = Regex::new(r"\bdocs/[a-z0-9/-]+\.(?:md|svg)\b").unwrap();
    let (mut faults, mut tried) = (Vec::new(), 0);
    let sources = FOLDERS.iter().flat_map(|folder| files(&root().join(folder)));
    let others = ["Makefile"].into_iter().chain(PAGES).map(|file| root().join(file));
    for path in sources.chain(others) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for found in named.find_iter(&text) {
            tried += 1;
            if !root().join(found.as_str()).exists() {
                faults.push(format!("{}: {}", path.display(), found.as_str()));
            }
        }
    }
    assert!(faults.is_empty(), "no such pages: {faults:#?}");
    assert!(tried >= 30, "{tried} pages are named: are they found?");
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let page = root().join("docs/README.md");
    assert_eq!(fault(&page, "understand/at-most-once.md"), None);
    assert_eq!(fault(&page, "reference/lifecycle.md#locks"), None);
    assert!(fault(&page, "at-most-once.md").is_some(), "no file");
    assert!(fault(&page, "reference/lifecycle.md#bolts").is_some(), "no heading");
    assert_eq!(links("see [a](b.md#c), [d](https://e) and\n```\n[f](g)\n```"), ["b.md#c"]);
    assert_eq!(fragment(" What `use` is, and is not"), "what-use-is-and-is-not");
}
