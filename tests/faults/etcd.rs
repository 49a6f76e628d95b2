//! Real compaction, by etcd's own HTTP gateway in the cluster's network.

use kube::Client;

/// Its address for clients, as in tests/cluster/config/etcd.yaml.
const ETCD: &str = "http://127.0.0.1:2379";

/// Forgets all that was before now.
pub(crate) async fn compact(client: &Client) {
    // A collection's resource version is etcd's revision.
    let request = http::Request::get("/api/v1/namespaces/default/pods?limit=1").body(Vec::new()).unwrap();
    let list: serde_json::Value = client.request(request).await.expect("reading the revision");
    let revision = list["metadata"]["resourceVersion"].as_str().expect("a revision");
    let body = serde_json::json!({"revision": revision, "physical": true}).to_string();
    let post = reqwest::Client::new().post(format!("{ETCD}/v3/kv/compaction")).body(body);
    let answer = post.send().await.expect("etcd answers");
    // 400: it was compacted beyond that by another schedule.
    assert!(matches!(answer.status().as_u16(), 200 | 400), "etcd: {}", answer.status());
}
