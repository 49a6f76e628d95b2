//! The truth, as the scripts themselves wrote it down.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::told::{Attempt, Truth};

/// A file that a script appends a line to as it starts and as it ends, and nobody but the tests reads.
#[derive(Debug, Clone)]
pub(crate) struct Counter(PathBuf);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Start,
    /// It lives on.
    Alive,
    /// With this exit code.
    End(i32),
}

impl Counter {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self(folder.join(name))
    }

    /// A script that counts itself, does `prelude` and `body`, and ends with what that set `code` to.
    pub(crate) fn script(&self, prelude: &str, body: &str) -> String {
        let file = self.0.display();
        // One write of one line: appended whole, whoever else does.
        format!(
            "#!/bin/sh\n\
             say() {{ printf '%s %s %s %s\\n' \"$1\" \"$LONGSHORE_RUN_ID\" \"$LONGSHORE_ATTEMPT\" \"$2\" >>{file}; }}\n\
             trap 'say end 143; exit 143' TERM\n\
             code=0\n\
             say start 0\n\
             {prelude}{body}\n\
             say end $code\n\
             exit $code\n"
        )
    }

    /// All marks, in their order.
    pub(crate) fn marks(&self) -> Vec<(Attempt, Mark)> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        let read = |line: &str| {
            let [mark, run, attempt, code]: [&str; 4] =
                line.split(' ').collect::<Vec<_>>().try_into().ok()?;
            let mark = match mark {
                "start" => Mark::Start,
                "alive" => Mark::Alive,
                "end" => Mark::End(code.parse().ok()?),
                _ => return None,
            };
            Some(((run.to_owned(), attempt.parse().ok()?), mark))
        };
        text.lines()
            .map(|line| read(line).unwrap_or_else(|| panic!("a line of the counter: {line:?}")))
            .collect()
    }

    pub(crate) fn truth(&self) -> BTreeMap<Attempt, Truth> {
        let mut all = BTreeMap::<Attempt, Truth>::new();
        for (attempt, mark) in self.marks() {
            let truth = all.entry(attempt).or_default();
            match mark {
                Mark::Start => truth.starts += 1,
                Mark::Alive => {}
                Mark::End(code) => truth.ends.push(code),
            }
        }
        all
    }

    /// How many attempts have started.
    pub(crate) fn started(&self) -> usize {
        self.marks().iter().filter(|(_, mark)| *mark == Mark::Start).count()
    }

    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
