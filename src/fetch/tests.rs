//! Archives that nobody made in good faith, and those that tools make.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use flate2::{Compression, write::GzEncoder};
use tar::{EntryType, Header};

use super::{
    archive::{Reading, unpack},
    fault::{Aside, Fault},
    folder::{Folder, Limits},
    links,
};
use crate::record::fetch::Problem;

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 100 };

/// A folder that is gone after the test, in one that nothing else is in.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("longshore-fetch-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn root(&self) -> PathBuf {
        self.0.join("package")
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.root().join(path).symlink_metadata().is_ok()
    }

    fn mode(&self, path: &str) -> u32 {
        self.root().join(path).symlink_metadata().unwrap().permissions().mode() & 0o7777
    }

    /// All that is in the folder, and that nothing is beside it.
    fn all(&self) -> Vec<String> {
        let beside: Vec<_> =
            fs::read_dir(&self.0).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(beside, ["package"], "something was written beside the folder");
        let mut found = Vec::new();
        walk(&self.root(), &self.root(), &mut found);
        found.sort();
        found
    }
}

fn walk(root: &Path, at: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(at).unwrap().flatten() {
        found.push(entry.path().strip_prefix(root).unwrap().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            walk(root, &entry.path(), found);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One entry of an archive, with a name that no well-meant tool would write.
#[derive(Clone)]
struct Item {
    kind: EntryType,
    name: Vec<u8>,
    link: &'static str,
    mode: u32,
    size: Option<u64>,
    content: Vec<u8>,
}

fn item(kind: EntryType, name: &str) -> Item {
    Item { kind, name: name.into(), link: "", mode: 0o644, size: None, content: Vec::new() }
}

fn file(name: &str, content: &str) -> Item {
    Item { content: content.into(), ..item(EntryType::Regular, name) }
}

fn link(name: &str, to: &'static str) -> Item {
    Item { link: to, ..item(EntryType::Symlink, name) }
}

fn hard_link(name: &str, to: &'static str) -> Item {
    Item { link: to, ..item(EntryType::Link, name) }
}

fn folder(name: &str) -> Item {
    item(EntryType::Directory, name)
}

fn pax(key: &str, value: &str) -> Item {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length.to_string().len() + rest.len() != length {
        length = length.to_string().len() + rest.len();
    }
    Item { content: format!("{length}{rest}").into(), ..item(EntryType::XHeader, "pax") }
}

fn tar(items: &[Item]) -> Vec<u8> {
    let mut archive = Vec::new();
    for item in items {
        let mut header = Header::new_ustar();
        header.set_entry_type(item.kind);
        header.set_mode(item.mode);
        header.set_size(item.size.unwrap_or(item.content.len() as u64));
        // set_path refuses what is tested here.
        let old = header.as_old_mut();
        old.name[..item.name.len()].copy_from_slice(&item.name);
        old.linkname[..item.link.len()].copy_from_slice(item.link.as_bytes());
        header.set_cksum();
        archive.extend(header.as_bytes());
        archive.extend(&item.content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.extend([0; 1024]);
    archive
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Unpacks layers, one upon the other.
fn layers(scratch: &Scratch, reading: Reading, layers: &[Vec<Item>]) -> Result<(u32, u64), Fault> {
    let mut folder = Folder::emptied(&scratch.root(), LIMITS)?;
    for items in layers {
        folder.next_layer();
        unpack(&mut &tar(items)[..], reading, &mut folder, &Aside::default())?;
    }
    links::check(&folder)?;
    Ok(folder.size())
}

fn unpacked(items: &[Item]) -> (Scratch, Result<(u32, u64), Fault>) {
    let scratch = Scratch::new();
    let result = layers(&scratch, Reading::default(), &[items.to_vec()]);
    (scratch, result)
}

fn refused(items: &[Item], problem: Problem) -> String {
    let (scratch, result) = unpacked(items);
    // Nothing is beside the folder, whatever is in it.
    scratch.all();
    let fault = result.unwrap_err();
    assert_eq!(fault.problem, problem, "{}", fault.message);
    fault.message
}

#[test]
fn files_folders_and_links_inside_are_laid_out() {
    let (scratch, result) = unpacked(&[
        folder("./"),
        file("./a/b/values.yaml", "x: 1"),
        Item { mode: 0o755, ..file("a/run.sh", "#!/bin/sh") },
        link("a/latest", "b"),
        link("up", "a/b/../run.sh"),
        link("missing", "a/none/at/all"),
        hard_link("second", "a/run.sh"),
        file("empty", ""),
    ]);
    let (entries, bytes) = result.unwrap();
    assert_eq!(entries, 9);
    assert_eq!(bytes, 9 * 4096);
    assert_eq!(scratch.read("a/latest/values.yaml"), "x: 1");
    assert_eq!(scratch.read("up"), "#!/bin/sh");
    assert_eq!(scratch.read("second"), "#!/bin/sh");
    assert_eq!(
        (scratch.mode("a/run.sh"), scratch.mode("a/b/values.yaml"), scratch.mode("a")),
        (0o755, 0o644, 0o755)
    );
}

#[test]
fn a_path_out_of_the_folder_is_refused() {
    for name in ["../x", "a/../../x", "/x", "/tmp/x", "a/..", ".."] {
        let words = refused(&[file("first", "1"), file(name, "evil")], Problem::Unsafe);
        assert!(words.contains("leads out"), "{words}");
        refused(&[Item { name: name.into(), ..folder("") }], Problem::Unsafe);
    }
    // By names in headers of their own.
    refused(&[pax("path", "../x"), file("fine", "evil")], Problem::Unsafe);
    let long = Item { content: b"../x\0".to_vec(), ..item(EntryType::GNULongName, "long") };
    refused(&[long, file("fine", "evil")], Problem::Unsafe);
}

#[test]
fn a_link_out_of_the_folder_is_refused() {
    for to in ["/etc/passwd", "/", "..", "../x", "a/../../x", "./../.."] {
        refused(&[link("x", to)], Problem::Unsafe);
    }
    refused(&[folder("a"), link("a/x", "../..")], Problem::Unsafe);
    refused(&[pax("linkpath", "/etc"), link("x", "fine")], Problem::Unsafe);
    // By the way of another link, which itself is inside.
    let words = refused(
        &[folder("a/b/c"), link("a/b/c/top", "../../.."), link("x", "a/b/c/top/..")],
        Problem::Unsafe,
    );
    assert!(words.contains("\"x\""), "{words}");
    refused(&[link("x", "missing/../../y")], Problem::Unsafe);
    // In either order, and by whatever replaces the link on the way.
    refused(&[link("x", "y/.."), folder("d"), link("y", ".")], Problem::Unsafe);
}

#[test]
fn a_circle_of_links_is_refused() {
    refused(&[link("x", "y"), link("y", "x")], Problem::Invalid);
    refused(&[link("x", "x")], Problem::Invalid);
}

#[test]
fn a_second_name_of_what_is_no_file_of_the_package_is_refused() {
    for to in ["/etc/passwd", "../x", "missing"] {
        refused(&[hard_link("x", to)], Problem::Unsafe);
    }
    refused(&[file("a", "1"), link("l", "a"), hard_link("x", "l")], Problem::Unsafe);
    refused(&[folder("d"), file("d/a", "1"), link("l", "d"), hard_link("x", "l/a")], Problem::Unsafe);
    refused(&[folder("d"), hard_link("x", "d")], Problem::Unsafe);
}

#[test]
fn nothing_is_written_through_a_link() {
    for to in [".", "d"] {
        let words = refused(&[folder("d"), link("x", to), file("x/y", "evil")], Problem::Unsafe);
        assert!(words.contains("through \"x\", which is a link"), "{words}");
        refused(&[folder("d"), link("x", to), folder("x/y")], Problem::Unsafe);
        refused(&[folder("d"), link("x", to), link("x/y", "z")], Problem::Unsafe);
    }
    // A file with a link's name takes the link's place, and the link's target stays as it is.
    let (scratch, result) = unpacked(&[file("a", "1"), link("x", "a"), file("x", "2")]);
    result.unwrap();
    assert_eq!((scratch.read("a"), scratch.read("x")), ("1".into(), "2".into()));
    // So does one that has another name.
    let (scratch, result) = unpacked(&[file("a", "1"), hard_link("x", "a"), file("x", "2")]);
    result.unwrap();
    assert_eq!((scratch.read("a"), scratch.read("x")), ("1".into(), "2".into()));
}

#[test]
fn devices_and_pipes_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        assert!(refused(&[item(kind, "x")], Problem::Unsafe).contains("device"));
    }
    refused(&[item(EntryType::GNUSparse, "x")], Problem::Invalid);
    refused(&[pax("GNU.sparse.size", "99999999999"), file("x", "")], Problem::Invalid);
}

#[test]
fn special_bits_of_modes_are_taken_off() {
    let (scratch, result) = unpacked(&[
        Item { mode: 0o6755, ..file("suid", "x") },
        Item { mode: 0o1000, ..file("nobody", "x") },
        Item { mode: 0o2700, ..folder("d") },
    ]);
    result.unwrap();
    assert_eq!((scratch.mode("suid"), scratch.mode("nobody"), scratch.mode("d")), (0o755, 0o644, 0o755));
}

#[test]
fn a_size_that_is_not_there_writes_nothing() {
    let (scratch, result) = unpacked(&[Item { size: Some(8 << 30), ..file("x", "little") }]);
    assert_eq!(result.unwrap_err().problem, Problem::TooLarge);
    assert!(scratch.all().is_empty());
    refused(&[pax("size", "5"), file("x", "little")], Problem::Invalid);
    let words = refused(&[Item { size: Some(2 << 20), ..item(EntryType::XHeader, "x") }], Problem::Invalid);
    assert!(words.contains("header"), "{words}");
    // An archive that ends within a file.
    let mut broken = tar(&[file("x", &"y".repeat(2000))]);
    broken.truncate(1024);
    let scratch = Scratch::new();
    let mut folder = Folder::emptied(&scratch.root(), LIMITS).unwrap();
    let fault = unpack(&mut &broken[..], Reading::default(), &mut folder, &Aside::default()).unwrap_err();
    assert_eq!(fault.problem, Problem::Invalid);
}

#[test]
fn too_many_entries_are_refused() {
    let many: Vec<Item> = (0..101).map(|n| file(&n.to_string(), "")).collect();
    let (scratch, result) = unpacked(&many);
    assert_eq!(result.unwrap_err().problem, Problem::TooLarge);
    assert_eq!(scratch.all().len(), 100);
    // Headers that make no file count too, and so do folders that a path brings along.
    let headers: Vec<Item> = (0..101).map(|_| pax("comment", "x")).collect();
    refused(&headers, Problem::TooLarge);
    let deep: Vec<Item> = (0..60).map(|n| file(&format!("d{n}/f"), "")).collect();
    refused(&deep, Problem::TooLarge);
}

/// Counts what is read of it.
struct Counting<R>(R, u64);

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1 += read as u64;
        Ok(read)
    }
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    // 64 MiB of zeros in one file, then in what an archive has beside its files.
    let zeros = Item { content: vec![0; 64 << 20], ..file("x", "") };
    let unknown = Item { kind: EntryType::new(b'V'), ..zeros.clone() };
    for (item, problem) in [(zeros, Problem::TooLarge), (unknown, Problem::Invalid)] {
        let packed = gzip(&tar(&[file("first", "1"), item]));
        assert!(packed.len() < 100_000, "{}", packed.len());
        let scratch = Scratch::new();
        let mut folder = Folder::emptied(&scratch.root(), LIMITS).unwrap();
        let reading = Reading { gzip: true, ..Reading::default() };
        let mut counting = Counting(&packed[..], 0);
        let fault = unpack(&mut counting, reading, &mut folder, &Aside::default()).unwrap_err();
        assert_eq!(fault.problem, problem, "{}", fault.message);
        assert_eq!(scratch.all(), ["first"]);
        assert!(counting.1 < 40_000, "{} bytes of the bomb were read", counting.1);
    }
    // Zeros after the archive's end, which is where reading ends.
    let mut long = tar(&[file("x", "1")]);
    long.resize(64 << 20, 0);
    let scratch = Scratch::new();
    let mut folder = Folder::emptied(&scratch.root(), LIMITS).unwrap();
    let reading = Reading { gzip: true, ..Reading::default() };
    unpack(&mut &gzip(&long)[..], reading, &mut folder, &Aside::default()).unwrap();
    assert_eq!(folder.size().0, 1);
}

#[test]
fn what_is_no_archive_is_told() {
    for gzip in [true, false] {
        let scratch = Scratch::new();
        let mut folder = Folder::emptied(&scratch.root(), LIMITS).unwrap();
        let reading = Reading { gzip, ..Reading::default() };
        let fault = unpack(&mut &[b'?'; 4096][..], reading, &mut folder, &Aside::default()).unwrap_err();
        assert_eq!(fault.problem, Problem::Invalid, "{}", fault.message);
    }
}

#[test]
fn a_chart_loses_the_folder_around_it() {
    let chart = Reading { strip: true, ..Reading::default() };
    let scratch = Scratch::new();
    let items =
        [file("orders/Chart.yaml", "name: orders"), file("orders/templates/a.yaml", ""), folder("orders/")];
    layers(&scratch, chart, &[items.to_vec()]).unwrap();
    assert_eq!(scratch.all(), ["Chart.yaml", "templates", "templates/a.yaml"]);
    for items in [
        vec![file("orders/Chart.yaml", ""), file("other/evil", "")],
        vec![file("orders", ""), file("more", "")],
    ] {
        let fault = layers(&Scratch::new(), chart, &[items]).unwrap_err();
        assert_eq!(fault.problem, Problem::Invalid, "{}", fault.message);
    }
    // A link inside the archive and outside of what becomes of it.
    let out = vec![file("orders/a", ""), link("orders/x", "../orders/a")];
    assert_eq!(layers(&Scratch::new(), chart, &[out]).unwrap_err().problem, Problem::Unsafe);
    let out = vec![file("orders/a", ""), hard_link("orders/x", "orders/a")];
    layers(&Scratch::new(), chart, &[out]).unwrap();
}

#[test]
fn an_image_s_layers_remove_what_is_below_them() {
    let image = Reading { whiteouts: true, ..Reading::default() };
    let lower = vec![
        file("etc/a", "1"),
        file("etc/b", "1"),
        file("data/old/x", "1"),
        file("data/keep", "1"),
        file("swap", "1"),
        folder("tree"),
        file("tree/leaf", "1"),
        link("l", "etc"),
    ];
    let upper = vec![
        item(EntryType::Regular, "etc/.wh.a"),
        // A file of the same layer stays, whichever comes first.
        file("data/new", "2"),
        item(EntryType::Regular, "data/.wh..wh..opq"),
        item(EntryType::Regular, ".wh..wh.plnk"),
        file("tree", "2"),
        file("l", "2"),
        item(EntryType::Regular, ".wh.none"),
    ];
    let scratch = Scratch::new();
    layers(&scratch, image, &[lower.clone(), upper]).unwrap();
    assert_eq!(scratch.all(), ["data", "data/new", "etc", "etc/b", "l", "swap", "tree"]);
    assert_eq!((scratch.read("tree"), scratch.read("l")), ("2".into(), "2".into()));
    assert_eq!(scratch.read("etc/b"), "1", "the link's target is not the link");
    // A path through a file or a link of a layer below.
    for (name, problem) in [("swap/inside", Problem::Invalid), ("l/inside", Problem::Unsafe)] {
        let result = layers(&Scratch::new(), image, &[lower.clone(), vec![file(name, "2")]]);
        assert_eq!(result.unwrap_err().problem, problem);
    }
}

#[test]
fn whiteouts_stay_inside() {
    let image = Reading { whiteouts: true, ..Reading::default() };
    for name in ["../.wh.x", "/.wh.x", ".wh..."] {
        let scratch = Scratch::new();
        let result = layers(&scratch, image, &[vec![file("a", "1")], vec![item(EntryType::Regular, name)]]);
        assert!(result.is_err() || scratch.all() == ["a"], "{name}");
    }
    // Through a link.
    let lower = vec![folder("d"), file("d/a", "1"), link("l", "d")];
    let scratch = Scratch::new();
    let result = layers(&scratch, image, &[lower, vec![item(EntryType::Regular, "l/.wh.a")]]);
    assert_eq!(result.unwrap_err().problem, Problem::Unsafe);
    assert!(scratch.has("d/a"));
    // In what is no image, it is a name like others.
    let (scratch, result) = unpacked(&[file(".wh.a", "1")]);
    result.unwrap();
    assert_eq!(scratch.all(), [".wh.a"]);
}
