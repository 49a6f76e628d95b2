//! Turns a script or a command into what is executed.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    path::Path,
};

use super::{
    find::{Found, Invocation, find, not_executable},
    shebang::{self, Shebang},
};
use crate::{
    record::{bundle::Program, outcome::Problem},
    runner::refusal::Refusal,
};

/// The interpreter of a script that names none.
const DEFAULT: &str = "/bin/sh";

/// Finds what runs `program`: for a script, with this `text` and at the path `script`, its interpreter. Names
/// are searched on `path`.
pub(in crate::runner) fn resolve(
    program: &Program,
    text: &[u8],
    args: &[String],
    script: &Path,
    path: &OsStr,
) -> Result<Invocation, Refusal> {
    let mut invocation = match program {
        Program::Script { interpreter, .. } | Program::ScriptFile { interpreter, .. } => {
            let mut invocation = match interpreter.split_first() {
                Some((name, options)) => listed(name, options, path)?,
                None => from_first_line(&first_line(text), path)?,
            };
            invocation.args.push(script.into());
            invocation
        }
        Program::Command { argv } => {
            let (name, options) =
                argv.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
            invocation(name, options, path).map_err(|missing| match missing {
                Missing::File => Refusal::new(Problem::CommandNotFound, command_not_found(name, path)),
                Missing::Right(refusal) => refusal,
            })?
        }
    };
    invocation.args.extend(args.iter().map(OsString::from));
    Ok(invocation)
}

/// Why there is nothing to execute.
enum Missing {
    File,
    Right(Refusal),
}

fn invocation<S: AsRef<OsStr>>(name: &str, options: &[S], path: &OsStr) -> Result<Invocation, Missing> {
    match find(OsStr::new(name), path) {
        Found::Executable(program) => Ok(Invocation {
            program,
            name: name.into(),
            args: options.iter().map(|option| option.as_ref().to_owned()).collect(),
        }),
        Found::NotExecutable(file) => Err(Missing::Right(not_executable(&file))),
        Found::Missing => Err(Missing::File),
    }
}

/// Finds the interpreter that the action names.
fn listed(name: &str, options: &[String], path: &OsStr) -> Result<Invocation, Refusal> {
    invocation(name, options, path).map_err(|missing| match missing {
        Missing::File => not_found(format!(
            "the image has no interpreter {}, which spec.script.interpreter names: name one that it has, \
             or use another image (spec.image)",
            sought(name, path)
        )),
        Missing::Right(refusal) => refusal,
    })
}

/// The most bytes of a `#!` line that are read. The kernel reads only 256.
const MAX_LINE_BYTES: usize = 4096;

/// Returns a script's first line. Bytes that are not UTF-8 are replaced: no interpreter's name has any.
fn first_line(text: &[u8]) -> Cow<'_, str> {
    let text = &text[..text.len().min(MAX_LINE_BYTES)];
    String::from_utf8_lossy(text.split(|&byte| byte == b'\n').next().unwrap_or_default())
}

/// Finds the interpreter of the `#!` line, or `/bin/sh`.
fn from_first_line(line: &str, path: &OsStr) -> Result<Invocation, Refusal> {
    let instead = "name an interpreter that the image has, in the `#!` line or in spec.script.interpreter, \
                   or use another image (spec.image)";
    let (name, options) = match Shebang::of(line) {
        Shebang::Interpreter { path, argument } => match shebang::through_env(path, argument) {
            Some(words) => (words[0], words[1..].to_vec()),
            None => (path, argument.into_iter().collect()),
        },
        Shebang::None => {
            return invocation::<&str>(DEFAULT, &[], path).map_err(|missing| match missing {
                Missing::File => not_found(format!(
                    "the image has no {DEFAULT}, and the script has no `#!` line that names another \
                     interpreter: {instead}; an image without any runs a program by spec.command"
                )),
                Missing::Right(refusal) => refusal,
            });
        }
        Shebang::Empty => {
            return Err(not_found("the script's `#!` line names no interpreter: write `#!/bin/sh`"));
        }
    };
    invocation(name, &options, path).map_err(|missing| match missing {
        // env would not find it either.
        Missing::File if name.contains(' ') && !name.contains('/') => not_found(format!(
            "the image has no interpreter `{name}`: the kernel gives all words behind `env` as one; write \
             `#!/usr/bin/env -S {name}`, or set spec.script.interpreter"
        )),
        Missing::File => not_found(format!(
            "the image has no {}, which the script's first line names (`{}`): {instead}",
            sought(name, path),
            line
        )),
        Missing::Right(refusal) => refusal,
    })
}

fn not_found(message: impl Into<String>) -> Refusal {
    Refusal::new(Problem::InterpreterNotFound, message)
}

fn command_not_found(name: &str, path: &OsStr) -> String {
    format!(
        "the image has no {}, which spec.command names: write the path of a program of the image, or use \
         another image (spec.image)",
        sought(name, path)
    )
}

/// Shows a name, and where it was searched.
fn sought(name: &str, path: &OsStr) -> String {
    if name.starts_with('/') {
        format!("`{name}`")
    } else if name.contains('/') {
        format!(
            "`{name}` (paths are relative to the script's working directory, which is empty: write the whole path)"
        )
    } else {
        format!("`{name}` on its PATH ({})", path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str, interpreter: &[&str]) -> Result<Invocation, Refusal> {
        let interpreter = interpreter.iter().map(|&word| word.to_owned()).collect();
        let program = Program::Script { text: text.to_owned(), interpreter, file_name: None };
        resolve(&program, text.as_bytes(), &["arg".to_owned()], Path::new("/s"), OsStr::new("/bin"))
    }

    fn words(invocation: &Invocation) -> Vec<&str> {
        let all = [invocation.program.as_os_str(), &invocation.name];
        all.into_iter()
            .chain(invocation.args.iter().map(OsString::as_os_str))
            .filter_map(OsStr::to_str)
            .collect()
    }

    #[test]
    fn the_list_wins_over_the_first_line_and_the_first_line_over_the_shell() {
        assert_eq!(
            words(&script("#!/bin/cat", &["sh", "-e"]).unwrap()),
            ["/bin/sh", "sh", "-e", "/s", "arg"]
        );
        assert_eq!(
            words(&script("#!/bin/cat -A -b", &[]).unwrap()),
            ["/bin/cat", "/bin/cat", "-A -b", "/s", "arg"]
        );
        assert_eq!(words(&script("echo", &[]).unwrap()), ["/bin/sh", "/bin/sh", "/s", "arg"]);
    }

    #[test]
    fn env_is_looked_through() {
        assert_eq!(words(&script("#!/usr/bin/env sh\n", &[]).unwrap()), ["/bin/sh", "sh", "/s", "arg"]);
        let split = script("#!/usr/bin/env -S sh -e -u\n", &[]).unwrap();
        assert_eq!(words(&split), ["/bin/sh", "sh", "-e", "-u", "/s", "arg"]);
    }

    #[test]
    fn a_missing_interpreter_says_what_to_write_instead() {
        for (text, list, says) in [
            ("#!/no/such -x\n", &[][..], "`#!/no/such -x`"),
            ("#!/usr/bin/env no-such\n", &[], "`no-such` on its PATH (/bin)"),
            ("#!/usr/bin/env python3 -u\n", &[], "env -S python3 -u"),
            ("", &["no-such"], "spec.script.interpreter names"),
            ("#!\n", &[], "names no interpreter"),
        ] {
            let refusal = script(text, list).unwrap_err();
            assert_eq!(refusal.problem, Problem::InterpreterNotFound, "{text:?}");
            assert!(refusal.message.contains(says), "{}", refusal.message);
        }
        assert_eq!(script("#!/etc/passwd\n", &[]).unwrap_err().problem, Problem::NotExecutable);
    }

    #[test]
    fn a_script_that_is_no_text_has_an_interpreter_too() {
        assert_eq!(first_line(b"#!/bin/sh\n\xff\xfe"), "#!/bin/sh");
        assert_eq!(first_line(b"#!/bin/s\xff"), "#!/bin/s\u{fffd}");
        assert_eq!(first_line(b""), "");
        assert_eq!(first_line(&b"x".repeat(1 << 20)).len(), MAX_LINE_BYTES);
    }

    #[test]
    fn a_command_is_found_or_named() {
        let command = |name: &str| {
            let program = Program::Command { argv: vec![name.to_owned(), "-x".to_owned()] };
            resolve(&program, b"", &["arg".to_owned()], Path::new("/s"), OsStr::new("/bin"))
        };
        assert_eq!(words(&command("sh").unwrap()), ["/bin/sh", "sh", "-x", "arg"]);
        let refusal = command("no-such").unwrap_err();
        assert_eq!(refusal.problem, Problem::CommandNotFound);
        assert!(refusal.message.contains("spec.command"), "{}", refusal.message);
    }
}
