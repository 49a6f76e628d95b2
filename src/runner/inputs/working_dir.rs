//! Changes to the folder in which the script starts.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use crate::{
    record::{bundle::WorkingDir, outcome::Problem},
    runner::{places::Places, refusal::Refusal},
};

/// Changes to the wanted folder and returns its path, or says why it cannot.
pub(in crate::runner) fn enter(places: &Places, wanted: Option<&WorkingDir>) -> Result<PathBuf, Refusal> {
    match wanted {
        None => {
            let work = places.work();
            env::set_current_dir(&work).map_err(|error| Refusal::internal("change to", &work, &error))?;
            Ok(work)
        }
        Some(WorkingDir::Path(path)) => {
            let folder = places.of_image(path);
            go(&folder).map_err(|error| refuse("spec.workingDir", &folder, &error))?;
            Ok(folder)
        }
        // The container runtime, as root, made the folder if it was missing, and started the runner in it.
        Some(WorkingDir::Image) => {
            let folder = env::current_dir().map_err(|error| {
                Refusal::new(Problem::WorkingDir, format!("the image's WORKDIR cannot be told: {error}"))
            })?;
            go(&folder).map_err(|error| refuse("the image's WORKDIR", &folder, &error))?;
            Ok(folder)
        }
    }
}

fn go(folder: &Path) -> io::Result<()> {
    env::set_current_dir(folder)?;
    // A folder that can be entered but not read is no use: `ls` and the patterns of a shell find nothing in
    // it.
    fs::read_dir(folder).map(drop)
}

fn refuse(what: &str, folder: &Path, error: &io::Error) -> Refusal {
    let folder = folder.display();
    let message = match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{what} is {folder}, which is not there: correct the path, make the folder in the image, or mount a \
             volume there (spec.podTemplate.volumeMounts)"
        ),
        io::ErrorKind::NotADirectory => format!("{what} is {folder}, which is no folder: name one"),
        io::ErrorKind::PermissionDenied => format!(
            "{what} is {folder}, which user {} may not enter and read: `chmod -R a+rX` it in the image, or set \
             spec.podTemplate.securityContext.runAsUser to its owner",
            geteuid()
        ),
        _ => format!("{what} is {folder}, which cannot be entered: {error}"),
    };
    Refusal::new(Problem::WorkingDir, message)
}
