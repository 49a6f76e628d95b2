//! The table of `docs/guides/access.md`: each person with each deed. [`super::deeds`] has the persons and the deeds.

use super::{
    deeds::{Deed, Place, Who, in_place},
    person::Person,
};
use Answer::{NoRole, NoUse, Yes};
use Deed::{
    Cancel, Change, ChangeConfigMap, Create, NameAccount, NameAccountInTemplate, NameOtherInTemplate,
    NamePackage, NameSecret, NameSecretInTemplate, NameTemplate, ReadLog, ReadOutcome, Rerun,
    WriteClusterTemplate, WriteTemplate,
};
use Who::{Creator, Elsewhere, Reader, Stranger, TemplateAuthor};

const PAGE: &str = include_str!("../../docs/guides/access.md");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Yes,
    /// No role of theirs has the verb on this resource.
    NoRole(&'static str),
    /// RBAC allows it, and one of the policies `longshore-use` and `longshore-use-templates` refuses it
    /// with these words.
    NoUse(&'static str),
}

const ACTIONS: Answer = NoRole("deploymentactions");
const TEMPLATES: Answer = NoRole("deploymentactiontemplates");
const CLUSTER_TEMPLATES: Answer = NoRole("clusterdeploymentactiontemplates");
const CONFIG_MAPS: Answer = NoRole("configmaps");
const LOGS: Answer = NoRole("pods/log");

const CELLS: [(Who, Deed, Answer); 80] = [
    (TemplateAuthor, Create, ACTIONS),
    (TemplateAuthor, Change, ACTIONS),
    (TemplateAuthor, Rerun, ACTIONS),
    (TemplateAuthor, Cancel, ACTIONS),
    (TemplateAuthor, ReadOutcome, ACTIONS),
    (TemplateAuthor, ReadLog, LOGS),
    (TemplateAuthor, NameAccount, ACTIONS),
    (TemplateAuthor, NameSecret, ACTIONS),
    (TemplateAuthor, NameTemplate, ACTIONS),
    (TemplateAuthor, NamePackage, ACTIONS),
    (TemplateAuthor, WriteTemplate, Yes),
    (TemplateAuthor, NameAccountInTemplate, Yes),
    (TemplateAuthor, NameSecretInTemplate, Yes),
    (TemplateAuthor, NameOtherInTemplate, NoUse(r#""use" secrets/payroll"#)),
    (TemplateAuthor, WriteClusterTemplate, CLUSTER_TEMPLATES),
    (TemplateAuthor, ChangeConfigMap, CONFIG_MAPS),
    (Creator, Create, Yes),
    (Creator, Change, Yes),
    (Creator, Rerun, Yes),
    (Creator, Cancel, Yes),
    (Creator, ReadOutcome, Yes),
    (Creator, ReadLog, LOGS),
    (Creator, NameAccount, NoUse(r#""use" serviceaccounts/deployer"#)),
    (Creator, NameSecret, NoUse(r#""use" secrets/db"#)),
    (Creator, NameTemplate, Yes),
    (Creator, NamePackage, Yes),
    (Creator, WriteTemplate, TEMPLATES),
    (Creator, NameAccountInTemplate, TEMPLATES),
    (Creator, NameSecretInTemplate, TEMPLATES),
    (Creator, NameOtherInTemplate, TEMPLATES),
    (Creator, WriteClusterTemplate, CLUSTER_TEMPLATES),
    (Creator, ChangeConfigMap, CONFIG_MAPS),
    (Reader, Create, ACTIONS),
    (Reader, Change, ACTIONS),
    (Reader, Rerun, ACTIONS),
    (Reader, Cancel, ACTIONS),
    (Reader, ReadOutcome, Yes),
    (Reader, ReadLog, Yes),
    (Reader, NameAccount, ACTIONS),
    (Reader, NameSecret, ACTIONS),
    (Reader, NameTemplate, ACTIONS),
    (Reader, NamePackage, ACTIONS),
    (Reader, WriteTemplate, TEMPLATES),
    (Reader, NameAccountInTemplate, TEMPLATES),
    (Reader, NameSecretInTemplate, TEMPLATES),
    (Reader, NameOtherInTemplate, TEMPLATES),
    (Reader, WriteClusterTemplate, CLUSTER_TEMPLATES),
    (Reader, ChangeConfigMap, CONFIG_MAPS),
    (Stranger, Create, ACTIONS),
    (Stranger, Change, ACTIONS),
    (Stranger, Rerun, ACTIONS),
    (Stranger, Cancel, ACTIONS),
    (Stranger, ReadOutcome, ACTIONS),
    (Stranger, ReadLog, LOGS),
    (Stranger, NameAccount, ACTIONS),
    (Stranger, NameSecret, ACTIONS),
    (Stranger, NameTemplate, ACTIONS),
    (Stranger, NamePackage, ACTIONS),
    (Stranger, WriteTemplate, TEMPLATES),
    (Stranger, NameAccountInTemplate, TEMPLATES),
    (Stranger, NameSecretInTemplate, TEMPLATES),
    (Stranger, NameOtherInTemplate, TEMPLATES),
    (Stranger, WriteClusterTemplate, CLUSTER_TEMPLATES),
    (Stranger, ChangeConfigMap, Yes),
    (Elsewhere, Create, ACTIONS),
    (Elsewhere, Change, ACTIONS),
    (Elsewhere, Rerun, ACTIONS),
    (Elsewhere, Cancel, ACTIONS),
    (Elsewhere, ReadOutcome, ACTIONS),
    (Elsewhere, ReadLog, LOGS),
    (Elsewhere, NameAccount, ACTIONS),
    (Elsewhere, NameSecret, ACTIONS),
    (Elsewhere, NameTemplate, ACTIONS),
    (Elsewhere, NamePackage, ACTIONS),
    (Elsewhere, WriteTemplate, TEMPLATES),
    (Elsewhere, NameAccountInTemplate, TEMPLATES),
    (Elsewhere, NameSecretInTemplate, TEMPLATES),
    (Elsewhere, NameOtherInTemplate, TEMPLATES),
    (Elsewhere, WriteClusterTemplate, CLUSTER_TEMPLATES),
    (Elsewhere, ChangeConfigMap, CONFIG_MAPS),
];

fn answer(who: Who, deed: Deed) -> Answer {
    let cell = CELLS.iter().find(|cell| (cell.0, cell.1) == (who, deed));
    cell.unwrap_or_else(|| panic!("no cell for {who:?}, {deed:?}")).2
}

/// What is wrong with a cell, each with the request that shows it.
async fn faults(place: &Place<'_>, person: &Person, deed: Deed, expected: Answer) -> Vec<String> {
    let mut faults = Vec::new();
    for ask in deed.asks() {
        let words = match expected {
            Yes => {
                if let Err(words) = ask.by(person, place).await {
                    faults.push(format!("{ask:?} should be allowed: {words}"));
                }
                continue;
            }
            NoRole(resource) => vec![format!("cannot {} resource \"{resource}\"", ask.verb())],
            NoUse(words) => ["denied request", "longshore-use", words].map(str::to_owned).to_vec(),
        };
        match ask.by(person, place).await {
            Ok(()) => faults.push(format!("{ask:?} is allowed, and should be refused with {words:?}")),
            Err(refusal) => faults.extend(
                words
                    .iter()
                    .chain([&person.user])
                    .filter(|words| !refusal.contains(*words))
                    .map(|words| format!("{ask:?}: {words:?} is not in: {refusal}")),
            ),
        }
    }
    faults
}

/// All cells of a person; a failure names each that is otherwise.
async fn row(who: Who) {
    in_place(async |place: &Place<'_>| {
        let person = who.arrives(place).await;
        let mut wrong = String::new();
        for deed in Deed::ALL {
            for fault in faults(place, &person, deed, answer(who, deed)).await {
                wrong.push_str(&format!("\n{} / {}: {fault}", who.title(), deed.title()));
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    })
    .await;
}

#[tokio::test]
async fn a_template_author_writes_templates_and_no_action() {
    row(TemplateAuthor).await;
}

#[tokio::test]
async fn a_release_creator_makes_actions_of_the_template_and_names_nothing_else() {
    row(Creator).await;
}

#[tokio::test]
async fn a_reader_reads() {
    row(Reader).await;
}

#[tokio::test]
async fn a_stranger_in_the_namespace_has_nothing_of_an_action() {
    row(Stranger).await;
}

#[tokio::test]
async fn a_stranger_elsewhere_has_nothing_here() {
    row(Elsewhere).await;
}

#[test]
fn every_person_has_a_cell_for_every_deed() {
    for who in Who::ALL {
        for deed in Deed::ALL {
            let cells = CELLS.iter().filter(|cell| (cell.0, cell.1) == (who, deed)).count();
            assert_eq!(cells, 1, "{who:?}, {deed:?}");
        }
    }
    assert_eq!(CELLS.len(), Who::ALL.len() * Deed::ALL.len());
    assert!(Deed::ALL.iter().all(|deed| !deed.asks().is_empty()));
}

/// The table as the docs have it.
fn rendered() -> String {
    let row = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut table = row(["what"].into_iter().chain(Who::ALL.map(Who::title)).collect());
    table.push_str(&format!("|{}\n", "---|".repeat(1 + Who::ALL.len())));
    for deed in Deed::ALL {
        let cell = |who| match answer(who, deed) {
            Yes => "**yes**",
            NoRole(_) => "no role",
            NoUse(_) => "no `use`",
        };
        table.push_str(&row([deed.title()].into_iter().chain(Who::ALL.map(cell)).collect()));
    }
    table
}

#[test]
fn the_docs_have_the_same_table() {
    let (_, section) = PAGE.split_once("\n## Who may do what, at a glance\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with('|'));
    let table: String = lines.flat_map(|line| [line, "\n"]).collect();
    assert_eq!(table, rendered(), "docs/guides/access.md should have:\n{}", rendered());
}
