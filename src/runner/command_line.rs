//! Reads the runner's few arguments. A library for them would be larger than the rest of the binary.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::record::{exit_code, place};

use super::{places::Places, run};

const HELP: &str = "\
Runs a deployment action's script inside its container.

  longshore-runner [run] [--root DIR]   runs the bundle; DIR stands for /
  longshore-runner install DIR          copies itself to DIR/longshore-runner
  longshore-runner --version
";

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Run { root: PathBuf },
    Install { folder: PathBuf },
    Version,
    Help,
}

/// Runs the program with `arguments`, without its own name. Returns the exit code: the script's, or one of
/// [`crate::record::exit_code`].
pub fn main(arguments: impl Iterator<Item = OsString>) -> u8 {
    match order(arguments) {
        Some(Order::Run { root }) => run::run(Places::below(root)),
        Some(Order::Install { folder }) => match install(&folder) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("longshore-runner: cannot copy itself to {}: {error}", folder.display());
                exit_code::RUNNER_FAILED
            }
        },
        Some(Order::Version) => {
            println!("longshore-runner {}", env!("CARGO_PKG_VERSION"));
            0
        }
        Some(Order::Help) => {
            print!("{HELP}");
            0
        }
        None => {
            eprint!("{HELP}");
            exit_code::USAGE
        }
    }
}

fn order(mut arguments: impl Iterator<Item = OsString>) -> Option<Order> {
    let mut next = || arguments.next();
    let Some(first) = next() else { return Some(Order::Run { root: "/".into() }) };
    let order = match first.to_str()? {
        "run" => match next() {
            None => Order::Run { root: "/".into() },
            Some(option) if option == OsStr::new("--root") => Order::Run { root: next()?.into() },
            Some(_) => return None,
        },
        "--root" => Order::Run { root: next()?.into() },
        "install" => Order::Install { folder: next()?.into() },
        "--version" => Order::Version,
        "--help" => Order::Help,
        _ => return None,
    };
    if next().is_some() { None } else { Some(order) }
}

/// Copies the runner for the script's container. The init container does this if image volumes are not
/// available.
fn install(folder: &Path) -> io::Result<()> {
    let file = folder.join(place::RUNNER_FILE);
    // Under another name first: if the init container starts again, the file may be in use.
    let next = folder.join(format!("{}.new", place::RUNNER_FILE));
    let _ = fs::remove_file(&next);
    fs::copy(env::current_exe()?, &next)?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o555))?;
    fs::rename(next, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Option<Order> {
        order(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_read() {
        let run = |root: &str| Some(Order::Run { root: root.into() });
        assert_eq!(read(&[]), run("/"));
        assert_eq!(read(&["run"]), run("/"));
        assert_eq!(read(&["run", "--root", "/x"]), run("/x"));
        assert_eq!(read(&["--root", "/x"]), run("/x"));
        assert_eq!(read(&["install", "/x"]), Some(Order::Install { folder: "/x".into() }));
        assert_eq!(read(&["--version"]), Some(Order::Version));
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for arguments in [&["walk"][..], &["run", "now"], &["--root"], &["install"], &["install", "a", "b"]] {
            assert_eq!(read(arguments), None, "{arguments:?}");
        }
    }
}
