//! `kubectl longshore completion`, and the answers to kubectl's own completion.

use std::time::Duration;

use clap::{Arg, Args, Command, FromArgMatches};
use clap_complete::Shell;
use kube::{ResourceExt, api::ListParams};

use super::{connect::Connection, error::CliError, terminal::print};

/// The name of the program, which kubectl finds for `kubectl longshore`.
const PROGRAM: &str = "kubectl-longshore";
/// How long a person waits for names, at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most names that are offered.
const MOST_NAMES: u32 = 500;

/// Prints a script that completes kubectl-longshore in a shell.
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// The shell.
    shell: Shell,
}

/// Answers kubectl's completion of `kubectl longshore`.
#[derive(Debug, Args)]
pub(super) struct Complete {
    /// The words after `kubectl longshore`. The last one is being written.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Completion {
    pub(super) fn run(&self, root: &Command) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut root.clone(), PROGRAM, &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}

/// What may stand at the place that is being written.
#[derive(Debug, PartialEq, Eq)]
enum Offer {
    Words(Vec<String>),
    /// The names of actions.
    Actions,
    Files,
    Nothing,
}

impl Complete {
    /// Prints the offers, one in a line, and a directive as cobra writes it: 4 is "no files", 0 is "files".
    pub(super) async fn run(&self, root: &Command) -> Result<(), CliError> {
        let (before, written) = match self.words.split_last() {
            Some((written, before)) => (before, written.as_str()),
            None => (&[][..], ""),
        };
        let (offers, directive) = match offer(root, before, written) {
            Offer::Words(words) => (words, 4),
            Offer::Actions => (self.names(root).await, 4),
            Offer::Files => (Vec::new(), 0),
            Offer::Nothing => (Vec::new(), 4),
        };
        let mut text = String::new();
        for offer in offers.iter().filter(|offer| offer.starts_with(written)) {
            text.push_str(&format!("{offer}\n"));
        }
        text.push_str(&format!(":{directive}\n"));
        print(&text)
    }

    /// The names of the actions where the words so far point to. If they cannot be read, there are none.
    async fn names(&self, root: &Command) -> Vec<String> {
        let words = std::iter::once(PROGRAM).chain(self.words.iter().map(String::as_str));
        let Ok(matches) = root.clone().ignore_errors(true).try_get_matches_from(words) else {
            return Vec::new();
        };
        let Ok(connection) = Connection::from_arg_matches(&matches) else { return Vec::new() };
        let read = async {
            let session = connection.session().await.ok()?;
            let page = ListParams::default().limit(MOST_NAMES);
            let list = session.actions().list_metadata(&page).await.ok()?;
            Some(list.items.iter().map(ResourceExt::name_any).collect())
        };
        tokio::time::timeout(PATIENCE, read).await.ok().flatten().unwrap_or_default()
    }
}

/// What may follow these words.
fn offer(root: &Command, before: &[String], written: &str) -> Offer {
    let mut command = root;
    let mut globals: Vec<&Arg> = root.get_arguments().collect();
    let mut positionals = 0;
    let mut words = before.iter();
    let mut waiting: Option<&Arg> = None;
    while let Some(word) = words.next() {
        waiting = None;
        if word.starts_with('-') {
            let flag = find(command, &globals, word).filter(|flag| flag.get_action().takes_values());
            if flag.is_some() && !word.contains('=') && words.next().is_none() {
                waiting = flag;
            }
        } else if let Some(inner) = command.find_subcommand(word) {
            command = inner;
            globals.retain(|flag| flag.is_global_set());
            positionals = 0;
        } else {
            positionals += 1;
        }
    }
    if let Some(flag) = waiting {
        return of_value(flag);
    }
    if written.starts_with('-') {
        return Offer::Words(flags(command, &globals));
    }
    let inner: Vec<String> = command
        .get_subcommands()
        .filter(|one| !one.is_hide_set())
        .map(|one| one.get_name().to_owned())
        .collect();
    if !inner.is_empty() && positionals == 0 {
        return Offer::Words(inner);
    }
    match command.get_positionals().nth(positionals) {
        Some(argument) if argument.get_id() == "name" && command.get_name() != "locks" => Offer::Actions,
        Some(argument) => of_value(argument),
        None => Offer::Nothing,
    }
}

fn of_value(argument: &Arg) -> Offer {
    if matches!(argument.get_id().as_str(), "filename" | "kubeconfig") {
        return Offer::Files;
    }
    let values: Vec<String> =
        argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if values.is_empty() { Offer::Nothing } else { Offer::Words(values) }
}

fn find<'a>(command: &'a Command, globals: &[&'a Arg], word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or_default();
    let is = |argument: &&Arg| match name.strip_prefix("--") {
        Some(long) => argument.get_long() == Some(long),
        None => argument.get_short().is_some_and(|short| name == format!("-{short}")),
    };
    command.get_arguments().find(is).or_else(|| globals.iter().copied().find(|argument| is(argument)))
}

fn flags(command: &Command, globals: &[&Arg]) -> Vec<String> {
    let own = command.get_arguments().filter_map(Arg::get_long);
    let all = own.chain(globals.iter().filter_map(|argument| argument.get_long()));
    let mut flags: Vec<String> = all.map(|long| format!("--{long}")).collect();
    flags.sort();
    flags.dedup();
    flags
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Arguments;

    fn offered(before: &[&str], written: &str) -> Offer {
        let before: Vec<String> = before.iter().map(ToString::to_string).collect();
        offer(&Arguments::command(), &before, written)
    }

    #[test]
    fn what_fits_at_the_place_is_offered() {
        let Offer::Words(commands) = offered(&[], "") else { panic!("commands") };
        assert!(commands.contains(&"describe".to_owned()) && !commands.contains(&"__complete".to_owned()));
        assert_eq!(offered(&["describe"], ""), Offer::Actions);
        assert_eq!(offered(&["-n", "shop", "describe"], "de"), Offer::Actions);
        assert_eq!(offered(&["describe", "deploy"], ""), Offer::Nothing);
        assert_eq!(offered(&["validate", "-f"], ""), Offer::Files);
        assert_eq!(offered(&["templates"], ""), Offer::Words(vec!["describe".to_owned()]));
        assert_eq!(offered(&["history", "-o"], ""), Offer::Words(vec!["json".to_owned(), "yaml".to_owned()]));
        let Offer::Words(flags) = offered(&["list"], "--") else { panic!("flags") };
        assert!(
            flags.contains(&"--watch".to_owned()) && flags.contains(&"--namespace".to_owned()),
            "{flags:?}"
        );
    }

    #[test]
    fn each_shell_has_a_script() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), PROGRAM, &mut script);
            assert!(String::from_utf8(script).unwrap().contains("describe"), "{shell}");
        }
    }
}
