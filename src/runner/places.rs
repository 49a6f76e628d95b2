//! The paths of [`crate::record::place`], below one root folder.

use std::path::PathBuf;

use crate::record::place;

/// All paths. In a container the root is `/`. Tests, and people who try the runner by hand, choose another.
#[derive(Debug, Clone)]
pub(super) struct Places {
    root: PathBuf,
}

impl Places {
    pub(super) fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn at(&self, path: &str) -> PathBuf {
        // Joining an absolute path would replace the root.
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn bundle(&self) -> PathBuf {
        self.at(place::BUNDLE_DIR).join(place::BUNDLE_FILE)
    }

    /// The operator's reason for stopping the script.
    pub(super) fn told_reason(&self) -> PathBuf {
        self.at(place::BUNDLE_DIR).join(place::STOP_REASON_FILE)
    }

    /// The limits for the log.
    pub(super) fn log_limits(&self) -> PathBuf {
        self.at(place::LOG_DIR).join(place::LOG_LIMITS_FILE)
    }

    /// How much of the log the operator has.
    pub(super) fn log_credit(&self) -> PathBuf {
        self.at(place::LOG_DIR).join(place::LOG_CREDIT_FILE)
    }

    pub(super) fn input(&self, path: &str) -> PathBuf {
        self.at(place::INPUTS_DIR).join(path.trim_start_matches('/'))
    }

    pub(super) fn source(&self, path: &str) -> PathBuf {
        self.at(place::SOURCES_DIR).join(path.trim_start_matches('/'))
    }

    /// The script that the kubelet mounts.
    pub(super) fn mounted_script(&self) -> PathBuf {
        self.at(place::SCRIPT_SOURCE_DIR).join(place::SCRIPT_FILE)
    }

    pub(super) fn packages(&self) -> PathBuf {
        self.at(place::PACKAGES_DIR)
    }

    pub(super) fn state(&self) -> PathBuf {
        self.at(place::STATE_DIR)
    }

    pub(super) fn claim(&self) -> PathBuf {
        self.state().join("claim")
    }

    pub(super) fn exit_record(&self) -> PathBuf {
        self.state().join("exit.json")
    }

    /// The folder of the script that is run.
    pub(super) fn script_folder(&self) -> PathBuf {
        self.at(place::SCRIPT_DIR)
    }

    /// The script that is run, under its name.
    pub(super) fn script(&self, name: Option<&str>) -> PathBuf {
        self.script_folder().join(name.unwrap_or(place::SCRIPT_FILE))
    }

    pub(super) fn output(&self) -> PathBuf {
        self.state().join("output")
    }

    /// The values that the script adds to be masked.
    pub(super) fn mask(&self) -> PathBuf {
        self.state().join("mask")
    }

    pub(super) fn stop_reason(&self) -> PathBuf {
        self.state().join("stop-reason")
    }

    /// The folder of values that a script gets as files.
    pub(super) fn files(&self) -> PathBuf {
        self.at(place::FILES_DIR)
    }

    pub(super) fn work(&self) -> PathBuf {
        self.at(place::WORK_DIR)
    }

    pub(super) fn home(&self) -> PathBuf {
        self.at(place::HOME_DIR)
    }

    pub(super) fn tmp(&self) -> PathBuf {
        self.at(place::TMP_DIR)
    }

    pub(super) fn token(&self) -> PathBuf {
        self.at(place::TOKEN_FILE)
    }

    /// A folder of the image.
    pub(super) fn of_image(&self, path: &str) -> PathBuf {
        self.at(path)
    }

    /// The image's users.
    pub(super) fn passwd(&self) -> PathBuf {
        self.at("/etc/passwd")
    }

    /// The socket at which C libraries ask about users.
    pub(super) fn names(&self) -> PathBuf {
        self.at(place::NAMES_DIR).join(place::NAMES_FILE)
    }

    /// The container's own cgroup.
    pub(super) fn cgroup(&self) -> PathBuf {
        self.at("/sys/fs/cgroup")
    }

    pub(super) fn termination_log(&self) -> PathBuf {
        self.at(place::TERMINATION_LOG)
    }
}
