//! Checks that all links of a folder stay inside. Each is followed like in the kernel, through other links
//! too.

use std::{
    collections::VecDeque,
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

use super::{
    fault::Fault,
    folder::{Folder, Kind, leads_out},
};
use crate::record::fetch::Problem;

/// The bound of Linux (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;
/// The most steps for all links together. More are only there to waste time.
const MAX_STEPS: usize = 10_000_000;

/// Refuses a folder with a link that leads out of it.
pub(super) fn check(folder: &Folder) -> Result<(), Fault> {
    let mut steps = 0;
    folder.links().try_for_each(|(path, target)| follow(folder, path, target, &mut steps))
}

fn follow(folder: &Folder, path: &Path, target: &Path, steps: &mut usize) -> Result<(), Fault> {
    let mut at: PathBuf = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
    let mut todo: VecDeque<Step> = parts(target).collect();
    let mut links = 0;
    while let Some(step) = todo.pop_front() {
        *steps += 1;
        if *steps > MAX_STEPS {
            return Err(Fault::new(Problem::Invalid, "its links lead through too many others"));
        }
        let name = match step {
            Step::Up if at.pop() => continue,
            Step::Up | Step::Root => return Err(leads_out(path, target)),
            Step::Into(name) => name,
        };
        at.push(name);
        match folder.kind(&at) {
            Some(Kind::Folder | Kind::File) => {}
            // The target does not exist, which is harmless. But `..` behind a missing folder cannot be
            // checked.
            None if todo.contains(&Step::Up) => return Err(leads_out(path, target)),
            None => return Ok(()),
            Some(Kind::Link(other)) => {
                links += 1;
                if links > MAX_LINKS {
                    let message = format!("the link {} leads in a circle", path.display());
                    return Err(Fault::new(Problem::Invalid, message));
                }
                at.pop();
                for step in parts(other).collect::<Vec<_>>().into_iter().rev() {
                    todo.push_front(step);
                }
            }
        }
    }
    Ok(())
}

#[derive(PartialEq)]
enum Step {
    Into(OsString),
    Up,
    Root,
}

fn parts(target: &Path) -> impl Iterator<Item = Step> {
    target.components().filter_map(|component| match component {
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::ParentDir => Some(Step::Up),
        Component::CurDir => None,
        Component::RootDir | Component::Prefix(_) => Some(Step::Root),
    })
}
