//! The script's environment variables.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::{files::Files, mounted::Input, whole_objects::WholeObjects};
use crate::{
    record::{
        bundle::{Bundle, RunIdentity, Source, Variable},
        outcome::Problem,
        place, quoted,
    },
    runner::{
        masking::{
            changing_files::{Seen, Watched},
            patterns::Patterns,
            secrets::Secrets,
        },
        places::Places,
        refusal::Refusal,
        user::{passwd, replaced},
    },
};

/// The `PATH` if the image has none, as container runtimes set it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `TERM` if the image sets none. Every terminal database has this one.
const TERMINAL: &str = "xterm";
/// The most sentences about adjusted inputs, and the most names in one of them.
const MAX_ADJUSTED: usize = 20;
/// The most values that are reported as suspects.
const MAX_SUSPECTS: usize = 5;

/// All variables, and the secrets among their values.
#[derive(Debug, Default)]
pub(in crate::runner) struct Environment {
    variables: BTreeMap<OsString, OsString>,
    secrets: Secrets,
    /// Files of secrets that may change while the script runs.
    watched: Watched,
    /// Values as files.
    files: Files,
    /// Sentences about what was changed or left out, for people.
    adjusted: Vec<String>,
    /// Sentences about values that may differ from what their author believes, for people.
    suspects: Vec<String>,
}

impl Environment {
    /// Puts the variables together: the image's, those of every script, the action's in their order (whole
    /// Secrets and `ConfigMap`s first), and Longshore's own. The later one wins.
    pub(in crate::runner) fn prepare(
        places: &Places,
        bundle: &Bundle,
        work: &Path,
        image: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Refusal> {
        let mut environment = Self::default();
        environment.variables.extend(image.filter(|(name, _)| !place::is_reserved(name)));
        for (name, value) in [("HOME", places.home()), ("TMPDIR", places.tmp()), ("PWD", work.into())] {
            environment.set(name, value);
        }
        let passwd = passwd::read(&places.passwd());
        let (user, home) = passwd::own(&passwd);
        environment.files.also_below(home.map(|home| places.of_image(&home)));
        let replaced = bundle.image_user.as_deref();
        environment.adjust(replaced.and_then(|named| replaced::told(&passwd, named)));
        // Without TERM, or with a terminal without colours, tput ends a script with `set -e`.
        for (name, value) in [("USER", user.as_str()), ("LOGNAME", &user), ("TERM", TERMINAL)] {
            environment.variables.entry(name.into()).or_insert_with(|| value.into());
        }
        // Before they are read, so that no change in between is missed.
        environment.watch(places, bundle);
        let mut objects = WholeObjects::new();
        for folder in &bundle.variables_from {
            let path = places.source(&folder.path);
            let (variables, left_out) = objects.read(&path, folder, &mut environment.secrets)?;
            environment.adjust(told(
                &format!("of the {}, no variables were set for", folder.origin),
                left_out.iter(),
                "such a name is empty, holds `=`, or begins with LONGSHORE_, which is Longshore's own",
            ));
            environment.adjust(told(
                &format!("of the {}, a shell cannot read the variables", folder.origin),
                variables.iter().map(|(name, _)| name).filter(|name| !is_shell_name(name)),
                "give them names of letters, digits and '_' in spec.variables",
            ));
            for (name, value) in &variables {
                environment.suspect(&name.to_string_lossy(), Some(&folder.origin), value.as_encoded_bytes());
            }
            environment.variables.extend(variables);
        }
        for (index, variable) in bundle.variables.iter().enumerate() {
            environment.add(places, index, variable)?;
        }
        environment.add_own(places, &bundle.run);
        if !bundle.packages.is_empty() {
            environment.set(place::ENV_PACKAGES, places.packages());
        }
        Ok(environment)
    }

    fn watch(&mut self, places: &Places, bundle: &Bundle) {
        let secret = |variable: &Variable| match &variable.source {
            Source::File { path, secret: true, .. } => Some(places.input(path)),
            Source::File { .. } | Source::Value { .. } => None,
        };
        let inputs: Vec<PathBuf> = bundle.variables.iter().filter_map(secret).collect();
        if !inputs.is_empty() {
            self.watched.add(&places.input(""), inputs);
        }
        for folder in bundle.variables_from.iter().filter(|folder| folder.secret) {
            self.watched.add_all_of(&places.source(&folder.path));
        }
        self.watched.add_unread(&places.token(), &mut self.secrets);
    }

    /// Takes the files of secrets that may change.
    pub(in crate::runner) fn take_watched(&mut self) -> Watched {
        std::mem::take(&mut self.watched)
    }

    /// Takes the values as files, which then follow their sources.
    pub(in crate::runner) fn take_files(&mut self) -> Files {
        std::mem::take(&mut self.files)
    }

    pub(in crate::runner) const fn variables(&self) -> &BTreeMap<OsString, OsString> {
        &self.variables
    }

    /// The variables whose values are secret and too short to be masked.
    pub(in crate::runner) fn unmasked(&self) -> &[String] {
        self.secrets.unmasked()
    }

    /// Sentences about what was changed or left out.
    pub(in crate::runner) fn adjusted(&self) -> &[String] {
        &self.adjusted
    }

    /// Adds a sentence about something that was changed or left out.
    pub(in crate::runner) fn adjust(&mut self, sentence: Option<String>) {
        let room = MAX_ADJUSTED.saturating_sub(self.adjusted.len());
        self.adjusted.extend(sentence.into_iter().take(room));
    }

    /// Values that may have made a script fail, in a few words each.
    pub(in crate::runner) fn suspects(&self) -> &[String] {
        &self.suspects
    }

    /// Remembers a value of one line that has something invisible at an end. The report shows nothing else of
    /// the value.
    fn suspect(&mut self, name: &str, origin: Option<&str>, value: &[u8]) {
        if self.suspects.len() < MAX_SUSPECTS
            && let Some(what) = invisible_end(value)
        {
            let origin = origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
            self.suspects.push(format!("{}{origin} {what}", quoted(name)));
        }
    }

    /// Takes the texts to mask. They are too large to be kept twice.
    pub(in crate::runner) fn take_patterns(&mut self) -> Result<Patterns, Refusal> {
        self.secrets.take_patterns().map_err(|error| Refusal::new(Problem::Input, error.to_string()))
    }

    /// The script's home.
    pub(in crate::runner) fn home(&self) -> &OsStr {
        self.variables.get(OsStr::new("HOME")).map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// The folders to search for programs.
    pub(in crate::runner) fn path(&self) -> &OsStr {
        self.variables.get(OsStr::new("PATH")).map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str)
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.insert(name.into(), value.into());
    }

    fn add(&mut self, places: &Places, index: usize, variable: &Variable) -> Result<(), Refusal> {
        let Variable { name, source, as_file, mode: _, path: _ } = variable;
        let refuse = |message: String| Refusal::new(Problem::Input, message);
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(refuse(format!("{} cannot be the name of an environment variable", quoted(name))));
        }
        match source {
            Source::Value { value } if *as_file => {
                let path = self.files.add(places, index, variable, value.as_bytes())?;
                self.set(name, path);
            }
            Source::Value { value } if value.contains('\0') => {
                return Err(refuse(format!(
                    "the value of variable {name} holds a NUL byte, which an environment variable cannot: \
                     write `as: File`"
                )));
            }
            Source::Value { value } => {
                self.suspect(name, None, value.as_bytes());
                self.set(name, value);
            }
            Source::File { path, secret, optional, origin } => {
                let input = Input { name, origin, optional: *optional };
                let path = places.input(path);
                let seen = Seen::at(&path);
                let Some(value) = input.read(&path)? else { return Ok(()) };
                if *secret {
                    self.secrets.add(name, &value);
                }
                if *as_file {
                    let copy = self.files.add(places, index, variable, &value)?;
                    self.files.follow(path, seen, &copy, variable);
                    self.set(name, copy);
                } else if value.contains(&0) {
                    return Err(input.not_a_text());
                } else {
                    self.suspect(name, Some(origin), &value);
                    self.set(name, OsString::from_vec(value));
                }
            }
        }
        Ok(())
    }

    fn add_own(&mut self, places: &Places, run: &RunIdentity) {
        self.variables.retain(|name, _| !place::is_reserved(name));
        self.set(place::ENV_OUTPUT, places.output());
        self.set(place::ENV_MASK, places.mask());
        self.set(place::ENV_STOP_REASON_FILE, places.stop_reason());
        self.set(place::ENV_NAMESPACE, &run.namespace);
        self.set(place::ENV_ACTION, &run.action);
        self.set(place::ENV_RUN_ID, &run.id);
        self.set(place::ENV_RUN, run.number.to_string());
        self.set(place::ENV_ATTEMPT, run.attempt.to_string());
        self.set(place::ENV_IDEMPOTENCY_KEY, format!("{}-{}", run.action_uid, run.number));
    }
}

/// Names the invisible beginning or end of a value of one line. It is a blank, a byte order mark, or a
/// newline that an editor has put there. A text of several lines rightly ends in a newline.
fn invisible_end(value: &[u8]) -> Option<&'static str> {
    let text = value.trim_ascii();
    match value {
        _ if text.is_empty() || text.contains(&b'\n') => None,
        _ if value.ends_with(b"\n") || value.ends_with(b"\r") => Some("ends in a newline"),
        _ if value.last().is_some_and(u8::is_ascii_whitespace) => Some("ends in a blank"),
        _ if value.starts_with(b"\n") || value.starts_with(b"\r") => Some("begins with a newline"),
        _ if value.first().is_some_and(u8::is_ascii_whitespace) => Some("begins with a blank"),
        _ if text.starts_with("\u{feff}".as_bytes()) => Some("begins with a byte order mark"),
        _ => None,
    }
}

/// Whether a shell lets a script use a variable of this name (POSIX, 3.216 Name).
fn is_shell_name(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    let first = name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    first && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Makes a sentence about names, if there are any.
fn told<'a>(what: &str, mut names: impl Iterator<Item = &'a OsString>, why: &str) -> Option<String> {
    let said: Vec<_> =
        names.by_ref().take(MAX_ADJUSTED).map(|name| quoted(&name.to_string_lossy())).collect();
    let more = match names.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!said.is_empty()).then(|| format!("{what} {}{more}: {why}", said.join(", ")))
}
