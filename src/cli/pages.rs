//! Lists of objects, page by page.

use std::fmt::Debug;

use kube::{Api, api::ListParams};
use serde::de::DeserializeOwned;

use super::error::CliError;

/// How many objects are asked for at a time.
pub(super) const PAGE: u32 = 500;

/// Reads all objects, and keeps those that `wanted` says.
pub(super) async fn all<K>(
    api: &Api<K>,
    parameters: ListParams,
    wanted: impl Fn(&K) -> bool,
) -> Result<Vec<K>, CliError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut kept = Vec::new();
    each(api, parameters, |object| {
        if wanted(&object) {
            kept.push(object);
        }
    })
    .await?;
    Ok(kept)
}

/// Reads all objects, one page after the other.
pub(super) async fn each<K>(
    api: &Api<K>,
    parameters: ListParams,
    mut take: impl FnMut(K),
) -> Result<(), CliError>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut parameters = parameters.limit(PAGE);
    loop {
        let page = api.list(&parameters).await?;
        page.items.into_iter().for_each(&mut take);
        match page.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => parameters = parameters.continue_token(&more),
            None => return Ok(()),
        }
    }
}
