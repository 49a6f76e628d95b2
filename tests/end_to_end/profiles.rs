//! Every image under every profile, with the runner by image volume.

use crate::support::{matrix, namespace::in_namespace};

#[tokio::test]
async fn every_image_runs_restricted() {
    in_namespace(async |namespace| matrix::row(namespace, "Restricted").await).await;
}

#[tokio::test]
async fn every_image_runs_as_root_of_a_user_namespace() {
    in_namespace(async |namespace| matrix::row(namespace, "UserNamespaceRoot").await).await;
}

#[tokio::test]
async fn every_image_runs_as_its_own_user() {
    in_namespace(async |namespace| matrix::row(namespace, "Baseline").await).await;
}
