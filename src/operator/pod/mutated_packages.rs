//! Finds what others in the cluster changed in a pod's packages. Pure.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::{
    packages::{FETCHER, package_argument, package_folder},
    same_content::is_same_content,
};
use crate::{api::packages::PackageStatus, record::place};

/// The change to the way in which `container` gets the packages, if any.
pub(super) fn mutation(spec: &PodSpec, container: &Container, packages: &[PackageStatus]) -> Option<String> {
    packages.iter().find_map(|package| {
        changed(spec, container, package).map(|what| format!("package {}: {what}", package.name))
    })
}

fn changed(spec: &PodSpec, container: &Container, package: &PackageStatus) -> Option<String> {
    let path = package_folder(&package.name);
    let at = |container: &Container| {
        let mut mounts = container.volume_mounts.iter().flatten().filter(|mount| mount.mount_path == path);
        mounts.next().cloned().filter(|_| mounts.next().is_none())
    };
    let Some(mount) = at(container) else {
        return Some(format!("nothing, or more than one volume, is at {path}"));
    };
    if mount.read_only != Some(true) || mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
        return Some("its volume is mounted in another way".to_owned());
    }
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
    let Some(volume) = volume else { return Some("its volume is missing".to_owned()) };
    if let Some(image) = &volume.image {
        let reference = image.reference.as_deref().unwrap_or("none");
        return (!is_same_content(reference, &package.resolved))
            .then(|| format!("its volume has the image {reference} and not {}", package.resolved));
    }
    if volume.empty_dir.is_none() {
        return Some("its volume is another one".to_owned());
    }
    let mut fetchers = spec.init_containers.iter().flatten().filter(|container| container.name == FETCHER);
    let Some(fetcher) = fetchers.next() else { return Some(format!("container {FETCHER} is missing")) };
    if fetcher.command.as_deref() != Some(&[format!("/{}", place::FETCH_FILE)]) {
        return Some(format!("container {FETCHER} has another command"));
    }
    // The argument may be one word or two, and the last one would count.
    let named = format!("--package={}=", package.name);
    let of_package = |argument: &&String| argument.starts_with(&named) || *argument == "--package";
    let arguments: Vec<&String> = fetcher.args.iter().flatten().filter(of_package).collect();
    if arguments != [&package_argument(package)] {
        return Some(format!("container {FETCHER} does not fetch {} alone", package.resolved));
    }
    let others = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let writes = |container: &&Container| {
        let mut mounts = container.volume_mounts.iter().flatten();
        container.name != FETCHER && mounts.any(|one| one.name == mount.name && one.read_only != Some(true))
    };
    if let Some(other) = others.into_iter().find(writes) {
        return Some(format!("container {} may write to its volume", other.name));
    }
    at(fetcher)
        .is_none_or(|at| at.name != mount.name)
        .then(|| format!("container {FETCHER} does not write to its volume"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::packages::PackageKind,
        operator::{
            pod::{
                attempt::{Attempt, Delivery},
                build::action_pod,
            },
            spec::validate::validate,
            testing::objects::{action, attempt, package, pod_defaults},
        },
    };

    #[test]
    fn a_package_that_is_changed_on_its_way_is_told() {
        let packages = vec![package("a", PackageKind::Image), package("b", PackageKind::Artifact)];
        let attempt = Attempt { packages: packages.clone(), ..attempt() };
        let checked = validate(&action(), "amd64").unwrap();
        let fine = action_pod(&checked, &attempt, &pod_defaults(Delivery::ImageVolume)).spec.unwrap();
        let change = |change: &dyn Fn(&mut PodSpec)| {
            let mut spec = fine.clone();
            change(&mut spec);
            mutation(&spec, &spec.containers[0], &packages)
        };
        assert_eq!(change(&|_| {}), None);
        let volume = |spec: &mut PodSpec, index: usize| {
            let name = format!("longshore-package-{index}");
            let all = spec.volumes.as_mut().unwrap();
            all.iter().position(|volume| volume.name == name).unwrap()
        };
        let mount = |spec: &mut PodSpec,
                     name: &str,
                     change: &dyn Fn(&mut k8s_openapi::api::core::v1::VolumeMount)| {
            let path = package_folder(name);
            let all = spec.containers[0].volume_mounts.as_mut().unwrap();
            change(all.iter_mut().find(|mount| mount.mount_path == path).unwrap());
        };
        for (index, what) in [
            change(&|spec| {
                let at = volume(spec, 0);
                spec.volumes.as_mut().unwrap()[at].image.as_mut().unwrap().reference = Some("evil".into());
            }),
            change(&|spec| {
                let at = volume(spec, 1);
                spec.volumes.as_mut().unwrap()[at].empty_dir = None;
            }),
            change(&|spec| mount(spec, "a", &|mount| mount.read_only = None)),
            change(&|spec| mount(spec, "b", &|mount| mount.sub_path = Some("x".into()))),
            change(&|spec| mount(spec, "b", &|mount| mount.name = "longshore-work".into())),
            change(&|spec| mount(spec, "b", &|mount| mount.mount_path = "/elsewhere".into())),
            change(&|spec| spec.init_containers = None),
            change(&|spec| spec.init_containers.as_mut().unwrap()[0].command = None),
            change(&|spec| {
                spec.init_containers.as_mut().unwrap()[0].args.as_mut().unwrap().pop();
            }),
            change(&|spec| spec.init_containers.as_mut().unwrap()[0].volume_mounts = None),
            change(&|spec| {
                let arguments = spec.init_containers.as_mut().unwrap()[0].args.as_mut().unwrap();
                arguments.push("--package=b=registry.example.com/evil@sha256:00".into());
            }),
            change(&|spec| {
                let arguments = spec.init_containers.as_mut().unwrap()[0].args.as_mut().unwrap();
                arguments.extend(["--package".into(), "b=registry.example.com/evil@sha256:00".into()]);
            }),
            change(&|spec| {
                let mut other = spec.init_containers.as_ref().unwrap()[0].clone();
                other.name = "other".into();
                spec.init_containers.as_mut().unwrap().push(other);
            }),
        ]
        .into_iter()
        .enumerate()
        {
            assert!(what.is_some(), "change {index}");
        }
    }
}
