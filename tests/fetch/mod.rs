//! `longshore-fetch` as a process, against a registry that does as it is told.

mod desk;
mod registry;

use std::time::{Duration, Instant};

use longshore::record::{fetch::Problem, sha256_hex};
use serde_json::json;

use desk::{Desk, archive, gzip};
use registry::{Answer, Fake, descriptor};

const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const CHART_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn chart() -> Vec<u8> {
    gzip(&archive(&[("orders/Chart.yaml", "name: orders"), ("orders/templates/a.yaml", "kind: A")]))
}

#[test]
fn a_chart_is_unpacked_without_its_own_folder() {
    let mut registry = Fake::start();
    let digest = registry.artifact(CHART_CONFIG, &[(CHART, chart(), None)]);
    let desk = Desk::new();
    let done = desk.fetch(&registry, "orders", &digest, &[]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(desk.files("orders"), ["Chart.yaml", "templates/a.yaml"]);
    assert_eq!(desk.termination(), None);
}

#[test]
fn an_artifact_s_files_have_their_names() {
    let mut registry = Fake::start();
    let packed = gzip(&archive(&[("manifests/b.yaml", "b")]));
    let layers = [
        ("text/plain", b"a".to_vec(), Some(json!({"org.opencontainers.image.title": "deep/a.txt"}))),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip",
            packed,
            Some(
                json!({"org.opencontainers.image.title": "manifests", "io.deis.oras.content.unpack": "true"}),
            ),
        ),
    ];
    let digest = registry.artifact("application/vnd.unknown.config.v1+json", &layers);
    let desk = Desk::new();
    assert!(desk.fetch(&registry, "files", &digest, &[]).status.success());
    assert_eq!(desk.files("files"), ["deep/a.txt", "manifests/b.yaml"]);
}

#[test]
fn an_image_is_laid_out_layer_by_layer() {
    let mut registry = Fake::start();
    let lower = archive(&[("a", "1"), ("b", "1")]);
    let upper = gzip(&archive(&[(".wh.a", ""), ("c", "2")]));
    let layers = [(LAYER, lower, None), ("application/vnd.oci.image.layer.v1.tar+gzip", upper, None)];
    let digest = registry.artifact(IMAGE_CONFIG, &layers);
    let desk = Desk::new();
    assert!(desk.fetch(&registry, "image", &digest, &[]).status.success());
    assert_eq!(desk.files("image"), ["b", "c"]);
}

#[test]
fn what_leads_out_is_refused_and_nothing_is_outside() {
    for title in ["../evil", "/tmp/longshore-evil", "a/../../evil"] {
        let mut registry = Fake::start();
        let annotations = Some(json!({"org.opencontainers.image.title": title}));
        let digest = registry.artifact("a/b", &[("text/plain", b"a".to_vec(), annotations)]);
        let desk = Desk::new();
        desk.assert_fails(&registry, &digest, &[], Problem::Unsafe, &["p", "leads out"]);
        assert!(desk.files("..").is_empty());
    }
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_is_told() {
    let good = chart();
    let mut other = good.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    let tampered = [
        // Another gzip trailer; another archive; more and less than there should be.
        other,
        gzip(&archive(&[("orders/evil", &"x".repeat(good.len()))]))[..good.len().min(80)].to_vec(),
        [good.clone(), vec![0; 100_000]].concat(),
        good[..good.len() - 1].to_vec(),
    ];
    for (index, content) in tampered.into_iter().enumerate() {
        let mut registry = Fake::start();
        let digest = registry.artifact(CHART_CONFIG, &[(CHART, good.clone(), None)]);
        registry.tamper(&format!("sha256:{}", sha256_hex(&good)), content);
        let desk = Desk::new();
        let words = ["layer 1 of 1"];
        desk.assert_fails(&registry, &digest, &[], Problem::DigestMismatch, &words);
        assert!(index < 4);
    }
}

#[test]
fn a_manifest_that_is_not_what_its_digest_says_is_told() {
    let mut registry = Fake::start();
    let digest = registry.artifact(CHART_CONFIG, &[(CHART, chart(), None)]);
    registry.tamper_manifest(&digest, b"{\"schemaVersion\":2}".to_vec());
    Desk::new().assert_fails(&registry, &digest, &[], Problem::DigestMismatch, &["should have the digest"]);
}

#[test]
fn ten_gigabytes_are_refused_before_a_byte_is_fetched() {
    let mut registry = Fake::start();
    let layer = json!({
        "mediaType": CHART, "digest": format!("sha256:{}", "1".repeat(64)), "size": 10_000_000_000_u64,
    });
    let digest = registry.manifest(&json!({
        "schemaVersion": 2,
        "config": descriptor(CHART_CONFIG, b"{}"),
        "layers": [layer],
    }));
    Desk::new().assert_fails(&registry, &digest, &[], Problem::TooLarge, &["10000000000 bytes"]);
    assert!(registry.asked().iter().all(|path| !path.contains("/blobs/")), "{:?}", registry.asked());
}

#[test]
fn a_bomb_is_refused() {
    let mut registry = Fake::start();
    let bomb = gzip(&archive(&[("orders/x", &"\0".repeat(8 << 20))]));
    assert!(bomb.len() < 100_000);
    let digest = registry.artifact(CHART_CONFIG, &[(CHART, bomb, None)]);
    let desk = Desk::new();
    desk.assert_fails(&registry, &digest, &["--limit-bytes=1048576"], Problem::TooLarge, &["1048576"]);
    assert!(desk.files("p").is_empty());
}

#[test]
fn what_the_registry_does_not_have_is_told() {
    let registry = Fake::start();
    let digest = format!("sha256:{}", "2".repeat(64));
    Desk::new().assert_fails(&registry, &digest, &[], Problem::NotFound, &["does not exist", &digest]);
}

#[test]
fn pull_secrets_are_used_where_the_registry_asks() {
    let mut registry = Fake::start();
    let digest = registry.artifact(CHART_CONFIG, &[(CHART, chart(), None)]);
    registry.wants("ci", "hush");
    let desk = Desk::new();
    desk.assert_fails(&registry, &digest, &[], Problem::Denied, &["anonymously", "right to pull"]);
    desk.pull_secret(&registry, "ci", "wrong-one");
    let failure = desk.assert_fails(&registry, &digest, &[], Problem::Denied, &["user ci"]);
    assert!(!failure.contains("wrong-one"), "{failure}");
    desk.pull_secret(&registry, "ci", "hush");
    assert!(desk.fetch(&registry, "p", &digest, &[]).status.success());
    assert_eq!(desk.files("p"), ["Chart.yaml", "templates/a.yaml"]);
}

#[test]
fn a_registry_that_fails_is_asked_again_for_so_long() {
    let mut registry = Fake::start();
    let digest = registry.artifact(CHART_CONFIG, &[(CHART, chart(), None)]);
    registry.next([Answer::Status(503), Answer::Ok, Answer::BreakOff]);
    let desk = Desk::new();
    let done = desk.fetch(&registry, "p", &digest, &["--give-up-after-seconds=30"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(desk.files("p"), ["Chart.yaml", "templates/a.yaml"]);

    registry.next((0..20).map(|_| Answer::Status(503)));
    let started = Instant::now();
    let limit = ["--give-up-after-seconds=1"];
    desk.assert_fails(&registry, &digest, &limit, Problem::Unavailable, &["503"]);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_address_on_the_own_loopback_is_not_asked() {
    let mut registry = Fake::start();
    let digest = registry.artifact(CHART_CONFIG, &[(CHART, chart(), None)]);
    registry.forget_to_name();
    Desk::new().assert_fails(&registry, &digest, &[], Problem::Unavailable, &["loopback"]);
    assert!(registry.asked().is_empty());
}

#[test]
fn a_package_without_a_digest_is_refused() {
    let registry = Fake::start();
    let done = Desk::new().fetch(&registry, "p", "1", &[]);
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("--package"), "{done:?}");
    assert!(registry.asked().is_empty());
}

#[test]
fn it_ends_when_it_is_asked_to() {
    let mut registry = Fake::start();
    let digest = registry.artifact(CHART_CONFIG, &[(CHART, chart(), None)]);
    registry.next((0..1000).map(|_| Answer::Status(503)));
    let desk = Desk::new();
    let mut child = desk.start(&registry, "p", &digest, &["--give-up-after-seconds=60"]);
    std::thread::sleep(Duration::from_millis(700));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
}
