//! A container's volumes, laid out before its start as a kubelet does. A folder stands for the container's
//! root.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{
            ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccount, Volume,
            VolumeProjection,
        },
    },
};
use kube::{Api, Client, ResourceExt, api::PostParams};
use longshore::record::place;

use super::status::CONTAINER;

/// Files of a volume, by path.
type Files = BTreeMap<String, Vec<u8>>;

/// The folders of a pod.
#[derive(Debug, Clone)]
pub(super) struct Folders {
    pod: PathBuf,
}

impl Folders {
    pub(super) fn new(root: &Path, pod_uid: &str) -> Self {
        Self { pod: root.join(pod_uid) }
    }

    /// The container's root.
    pub(super) fn root(&self) -> PathBuf {
        self.pod.join("root")
    }

    fn in_root(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.pod.join("volumes").join(name)
    }

    /// The termination message, at most what a kubelet reads.
    pub(super) fn termination_message(&self) -> String {
        let text = fs::read(self.in_root(place::TERMINATION_LOG)).unwrap_or_default();
        String::from_utf8_lossy(&text[..text.len().min(4096)]).into_owned()
    }

    /// A container that is started again has an empty one.
    pub(super) fn fresh_termination_log(&self) -> io::Result<()> {
        let path = self.in_root(place::TERMINATION_LOG);
        fs::create_dir_all(path.parent().expect("a folder"))?;
        fs::write(path, "")
    }

    pub(super) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.pod);
    }
}

/// Lays out all volumes. The error is for the event that a kubelet writes.
pub(super) async fn lay_out(client: &Client, pod: &Pod, folders: &Folders) -> Result<(), String> {
    let spec = pod.spec.as_ref().ok_or("no spec")?;
    for volume in spec.volumes.iter().flatten() {
        let failed = |why: String| format!("MountVolume.SetUp failed for volume \"{}\" : {why}", volume.name);
        let files = content(client, pod, volume).await.map_err(failed)?;
        let folder = folders.volume(&volume.name);
        let written = files.map_or_else(|| fs::create_dir_all(&folder), |files| write(&folder, &files));
        written.map_err(|error| failed(error.to_string()))?;
    }
    mount(pod, folders).map_err(|error| format!("mounts: {error}"))
}

/// Shows what was changed of the pod's labels and annotations, as a kubelet does.
pub(super) fn refresh(pod: &Pod, folders: &Folders) {
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        if let Some(of) = &volume.downward_api {
            let files = downward(pod, of.items.iter().flatten());
            let _ = write(&folders.volume(&volume.name), &files);
        }
    }
}

/// `None` for a volume that is an empty folder.
async fn content(client: &Client, pod: &Pod, volume: &Volume) -> Result<Option<Files>, String> {
    // An image is not pulled: who looks into it finds nothing, and the runner is started from where
    // it was built.
    if volume.empty_dir.is_some() || volume.image.is_some() {
        return Ok(None);
    }
    let namespace = pod.namespace().unwrap_or_default();
    let source = Source { client, namespace: &namespace };
    let files = if let Some(of) = &volume.downward_api {
        downward(pod, of.items.iter().flatten())
    } else if let Some(of) = &volume.secret {
        let name = of.secret_name.as_deref().unwrap_or_default();
        source.secret(name, of.items.as_deref(), of.optional == Some(true)).await?
    } else if let Some(of) = &volume.config_map {
        source.config_map(&of.name, of.items.as_deref(), of.optional == Some(true)).await?
    } else if let Some(of) = &volume.projected {
        let mut all = Files::new();
        for part in of.sources.iter().flatten() {
            all.extend(source.projection(pod, part).await?);
        }
        all
    } else {
        return Err("the fake node has no volumes of this type".into());
    };
    Ok(Some(files))
}

/// The reader of Secrets and `ConfigMap`s.
struct Source<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Source<'_> {
    async fn secret(&self, name: &str, items: Option<&[KeyToPath]>, optional: bool) -> Result<Files, String> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        let object = api.get_opt(name).await.map_err(|error| error.to_string())?;
        let Some(object) = object else {
            return if optional { Ok(Files::new()) } else { Err(format!("secret \"{name}\" not found")) };
        };
        let all = object.data.into_iter().flatten().map(|(key, ByteString(value))| (key, value)).collect();
        chosen(all, items, optional, "references non-existent secret key")
    }

    async fn config_map(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<Files, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        let object = api.get_opt(name).await.map_err(|error| error.to_string())?;
        let Some(object) = object else {
            return if optional { Ok(Files::new()) } else { Err(format!("configmap \"{name}\" not found")) };
        };
        let text = object.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
        let bytes = object.binary_data.into_iter().flatten().map(|(key, ByteString(value))| (key, value));
        chosen(text.chain(bytes).collect(), items, optional, "references non-existent config key")
    }

    async fn projection(&self, pod: &Pod, part: &VolumeProjection) -> Result<Files, String> {
        if let Some(of) = &part.secret {
            return self.secret(&of.name, of.items.as_deref(), of.optional == Some(true)).await;
        }
        if let Some(of) = &part.config_map {
            return self.config_map(&of.name, of.items.as_deref(), of.optional == Some(true)).await;
        }
        if let Some(of) = &part.downward_api {
            return Ok(downward(pod, of.items.iter().flatten()));
        }
        let Some(of) = &part.service_account_token else {
            return Err("the fake node cannot project this".into());
        };
        let account =
            pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), self.namespace);
        let spec = TokenRequestSpec {
            audiences: of.audience.clone().map(|audience| vec![audience]),
            expiration_seconds: of.expiration_seconds,
            ..TokenRequestSpec::default()
        };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let made = api.create_token_request(account, &PostParams::default(), &request).await;
        let token = made.map_err(|error| error.to_string())?.status.and_then(|status| status.token);
        Ok(Files::from([(of.path.clone(), token.unwrap_or_default().into_bytes())]))
    }
}

/// The keys that are asked for, under the paths that they are wanted at.
fn chosen(
    mut all: Files,
    items: Option<&[KeyToPath]>,
    optional: bool,
    missing: &str,
) -> Result<Files, String> {
    let Some(items) = items else { return Ok(all) };
    let mut files = Files::new();
    for item in items {
        match all.get_mut(&item.key) {
            Some(value) => drop(files.insert(item.path.clone(), value.clone())),
            None if optional => {}
            None => return Err(format!("{missing}: {}", item.key)),
        }
    }
    Ok(files)
}

fn downward<'a>(pod: &Pod, items: impl Iterator<Item = &'a DownwardAPIVolumeFile>) -> Files {
    items
        .filter_map(|item| {
            let value = field(pod, &item.field_ref.as_ref()?.field_path)?;
            Some((item.path.clone(), value.into_bytes()))
        })
        .collect()
}

/// A field of the pod, as the downward API names it.
pub(super) fn field(pod: &Pod, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    let of = |map: &Option<BTreeMap<String, String>>, path: &str| {
        let key = path.strip_suffix("']")?;
        Some(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default())
    };
    if let Some(key) = path.strip_prefix("metadata.annotations['") {
        return of(&meta.annotations, key);
    }
    if let Some(key) = path.strip_prefix("metadata.labels['") {
        return of(&meta.labels, key);
    }
    let spec = pod.spec.as_ref();
    match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "spec.nodeName" => spec?.node_name.clone(),
        "spec.serviceAccountName" => spec?.service_account_name.clone(),
        _ => None,
    }
}

/// The container's environment: that of an image which has no own, and what the pod's spec says.
pub(super) fn environment(pod: &Pod) -> Vec<(String, String)> {
    let mut all = vec![
        ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
        ("HOSTNAME".into(), pod.name_any()),
    ];
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    for variable in containers.filter(|one| one.name == CONTAINER).flat_map(|one| one.env.iter().flatten()) {
        let from =
            variable.value_from.as_ref().and_then(|from| field(pod, &from.field_ref.as_ref()?.field_path));
        all.push((variable.name.clone(), from.or_else(|| variable.value.clone()).unwrap_or_default()));
    }
    all
}

/// As a kubelet does: every file a link into the folder of its version, that folder behind a link
/// that is replaced in one step. What has not changed stays: who is reading it would find it gone.
fn write(folder: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let data = folder.join("..data");
    let same =
        |(path, value): (&String, &Vec<u8>)| fs::read(data.join(path)).is_ok_and(|read| read == *value);
    if fs::symlink_metadata(&data).is_ok() && files.iter().all(same) {
        return Ok(());
    }
    let before = fs::read_link(&data).ok();
    let number =
        before.as_ref().and_then(|name| name.to_str()?.strip_prefix("..v")?.parse().ok()).unwrap_or(0u32);
    let version = format!("..v{}", number + 1);
    for (path, value) in files {
        let file = folder.join(&version).join(path);
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        fs::write(file, value)?;
        let first = Path::new(path).components().next().map(|part| PathBuf::from(part.as_os_str()));
        let first = first.unwrap_or_default();
        let link = folder.join(&first);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new("..data").join(&first), link)?;
        }
    }
    fs::create_dir_all(folder.join(&version))?;
    let next = folder.join("..data_tmp");
    let _ = fs::remove_file(&next);
    symlink(&version, &next)?;
    fs::rename(next, data)?;
    before.map_or(Ok(()), |before| fs::remove_dir_all(folder.join(before)))
}

fn mount(pod: &Pod, folders: &Folders) -> io::Result<()> {
    fs::create_dir_all(folders.root())?;
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut mounts: Vec<_> = containers
        .filter(|one| one.name == CONTAINER)
        .flat_map(|one| one.volume_mounts.iter().flatten())
        .collect();
    // A mount below another mount lies in it.
    mounts.sort_by_key(|mount| mount.mount_path.len());
    for mount in mounts {
        let at = folders.in_root(&mount.mount_path);
        let from = folders.volume(&mount.name);
        let from = mount.sub_path.as_ref().map_or_else(|| from.clone(), |path| from.join(path));
        if fs::symlink_metadata(&at).is_ok() {
            continue;
        }
        fs::create_dir_all(at.parent().expect("below the root"))?;
        symlink(from, at)?;
    }
    folders.fresh_termination_log()
}
