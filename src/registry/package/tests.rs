use serde_json::{Value, json};

use super::*;

fn layer(media_type: &str, annotations: &Value) -> Value {
    let digest = format!("sha256:{}", "0".repeat(64));
    json!({"mediaType": media_type, "digest": digest, "size": 10, "annotations": annotations})
}

fn read(config: &str, artifact_type: Option<&str>, layers: &[Value]) -> Result<PackageManifest, String> {
    let manifest = json!({
        "schemaVersion": 2,
        "artifactType": artifact_type,
        "config": {"mediaType": config, "digest": "sha256:00", "size": 2},
        "layers": layers,
    });
    PackageManifest::read("sha256:11".to_owned(), &serde_json::from_value(manifest).unwrap())
}

const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[test]
fn charts_images_and_artifacts_are_told_apart() {
    let chart = read(
        "application/vnd.cncf.helm.config.v1+json",
        None,
        &[layer(CHART_PROVENANCE, &json!({})), layer(CHART, &json!({}))],
    )
    .unwrap();
    assert!(!chart.is_image && chart.media_type.contains("helm"));
    assert_eq!((chart.layers.as_ref().unwrap()[0].form.clone(), chart.packed_bytes()), (Form::Chart, 10));

    let image = read(IMAGE, None, &[layer(LAYER_GZIP, &json!({})), layer(LAYER, &json!({}))]).unwrap();
    let forms: Vec<Form> = image.layers.as_ref().unwrap().iter().map(|layer| layer.form.clone()).collect();
    assert!(image.is_image);
    assert_eq!(forms, [Form::Archive { gzip: true }, Form::Archive { gzip: false }]);
    // Nodes may know how to unpack what we do not.
    let image =
        read(IMAGE, None, &[layer("application/vnd.oci.image.layer.v1.tar+zstd", &json!({}))]).unwrap();
    assert!(image.is_image && image.layers.unwrap_err().contains("gzip"));

    let flux = read(
        "application/vnd.cncf.flux.config.v1+json",
        None,
        &[layer("application/vnd.cncf.flux.content.v1.tar+gzip", &json!({}))],
    );
    assert_eq!(flux.unwrap().layers.unwrap()[0].form, Form::Archive { gzip: true });
    // An image's config alone makes no image.
    assert!(!read(IMAGE, None, &[layer("text/plain", &json!({TITLE: "a"}))]).unwrap().is_image);
}

#[test]
fn what_oras_pushes_is_what_oras_pulls() {
    let kind = Some("application/vnd.example");
    let pushed = read(
        EMPTY,
        kind,
        &[
            layer(LAYER, &json!({TITLE: "values.yaml"})),
            layer(LAYER_GZIP, &json!({TITLE: "manifests", UNPACK: "true"})),
            layer("application/json", &json!({TITLE: "deep/a.json"})),
        ],
    )
    .unwrap();
    let forms: Vec<Form> = pushed.layers.unwrap().into_iter().map(|layer| layer.form).collect();
    let file = |name: &str| Form::File(name.to_owned());
    assert_eq!(forms, [file("values.yaml"), Form::Archive { gzip: true }, file("deep/a.json")]);
    assert_eq!((pushed.is_image, pushed.media_type.as_str()), (false, "application/vnd.example"));
}

#[test]
fn what_cannot_be_laid_into_a_folder_is_told() {
    let kind = Some("application/vnd.example");
    let none = json!({});
    for (layers, words) in [
        (vec![], "no file"),
        (vec![layer(EMPTY, &none)], "no file"),
        (vec![layer("application/json", &none)], "layer 1 of 1"),
        (vec![layer("application/x.tar+zstd", &none)], "zstd"),
        (vec![json!({"mediaType": LAYER, "digest": "md5:00", "size": 1})], "md5"),
        (vec![json!({"mediaType": LAYER, "digest": format!("sha256:{}", "0".repeat(64)), "size": -1})], "-1"),
        (vec![layer(LAYER, &none); MAX_LAYERS + 1], "257 layers"),
    ] {
        let fault = read(EMPTY, kind, &layers).unwrap_err();
        assert!(fault.contains(words), "{fault}");
    }
}

#[test]
fn sizes_add_up_without_end() {
    let huge = json!({"mediaType": LAYER, "digest": format!("sha256:{}", "0".repeat(64)), "size": i64::MAX});
    let manifest = read(EMPTY, Some("a/b"), &[huge.clone(), huge.clone(), huge]).unwrap();
    assert_eq!(manifest.packed_bytes(), u64::MAX);
}
