//! Reads a script's `#!` line as the kernel does, after [`super::line_endings`] has cleaned it.

/// The interpreter that a script's first line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shebang<'a> {
    /// There is no `#!` line.
    None,
    /// An interpreter, and the rest of the line as one argument.
    Interpreter {
        /// As written.
        path: &'a str,
        /// Without blanks around it.
        argument: Option<&'a str>,
    },
    /// Nothing follows the `#!`.
    Empty,
}

impl<'a> Shebang<'a> {
    pub(super) fn of(script: &'a str) -> Self {
        let Some(line) = script.strip_prefix("#!") else { return Self::None };
        let line = line.split_once('\n').map_or(line, |(line, _)| line);
        let line = line.trim_matches([' ', '\t']);
        let (path, argument) = match line.split_once([' ', '\t']) {
            Some((path, argument)) => (path, Some(argument.trim_start_matches([' ', '\t']))),
            None => (line, None),
        };
        if path.is_empty() { Self::Empty } else { Self::Interpreter { path, argument } }
    }
}

/// Returns what `env` would run: the words behind it, if they are simple enough.
///
/// The runner finds the program itself. So a typo is reported as a missing interpreter, not as `env:
/// 'pyhton3': No such file or directory` with exit code 127. Images without `env` can run the script too.
pub(super) fn through_env<'a>(path: &str, argument: Option<&'a str>) -> Option<Vec<&'a str>> {
    if !matches!(path, "/usr/bin/env" | "/bin/env") {
        return None;
    }
    let argument = argument?;
    let words: Vec<&str> =
        match argument.strip_prefix("-S").or_else(|| argument.strip_prefix("--split-string=")) {
            // Only env itself can read quotes, escapes and variables.
            Some(split) if split.contains(['"', '\'', '\\', '$', '#']) => return None,
            Some(split) => split.split_ascii_whitespace().collect(),
            // The kernel passes the rest as one argument, blanks included.
            None => vec![argument],
        };
    let first = words.first()?;
    // An option of env, or a variable for it.
    if first.starts_with('-') || first.contains('=') { None } else { Some(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter<'a>(path: &'a str, argument: Option<&'a str>) -> Shebang<'a> {
        Shebang::Interpreter { path, argument }
    }

    #[test]
    fn a_shebang_is_a_path_and_at_most_one_argument() {
        assert_eq!(Shebang::of("#!/bin/sh\necho"), interpreter("/bin/sh", None));
        assert_eq!(Shebang::of("#!/bin/sh"), interpreter("/bin/sh", None));
        assert_eq!(Shebang::of("#! \t/bin/bash  -e -u \nx"), interpreter("/bin/bash", Some("-e -u")));
        assert_eq!(Shebang::of("echo\n#!/bin/sh"), Shebang::None);
        assert_eq!(Shebang::of(""), Shebang::None);
        assert_eq!(Shebang::of(" #!/bin/sh"), Shebang::None);
        assert_eq!(Shebang::of("#! \nx"), Shebang::Empty);
    }

    #[test]
    fn what_env_would_run_is_known() {
        let env = |argument| through_env("/usr/bin/env", Some(argument));
        assert_eq!(env("python3"), Some(vec!["python3"]));
        assert_eq!(env("python3 -u"), Some(vec!["python3 -u"]));
        assert_eq!(env("-S python3 -u"), Some(vec!["python3", "-u"]));
        assert_eq!(env("-Spython3"), Some(vec!["python3"]));
        assert_eq!(env("-S A=1 python3"), None);
        assert_eq!(env("-S python3 '-X a'"), None);
        assert_eq!(env("-i"), None);
        assert_eq!(through_env("/usr/bin/env", None), None);
        assert_eq!(through_env("/bin/sh", Some("x")), None);
    }
}
