//! Guesses at why a script failed. They say that they are guesses.

use super::facts::LogFact;
use crate::{
    api::Reason,
    operator::spec::{expand::Blocked, validate::Checked},
    record::outcome::truncate,
};

/// The longest hint, in bytes. A message has room for it beside what happened.
const MAX_HINT_BYTES: usize = 600;

/// Texts of programs that find no credentials for a Kubernetes API: kubectl, helm and others in Go; Python's
/// client; flux.
const NO_CREDENTIALS: [&str; 8] = [
    "localhost:8080 was refused",
    "http://localhost:8080/version",
    "http://localhost:8080/api?timeout=",
    "http://localhost:8080/openapi/",
    "/var/run/secrets/kubernetes.io/serviceaccount/token",
    "Service token file does not exist",
    "invalid configuration: no configuration has been provided",
    "Missing or incomplete configuration info",
];

/// A guess at what was wrong in a run that ended for this reason. `spec` is what was executed.
pub(crate) fn hint(
    reason: Reason,
    spec: Result<&Checked, &Blocked>,
    log: Option<&LogFact>,
) -> Option<String> {
    let log = log?;
    if !matches!(
        reason,
        Reason::ScriptFailed | Reason::OutputMissing | Reason::OutputsUnreadable | Reason::DeadlineExceeded
    ) {
        return None;
    }
    let no_account = spec.is_ok_and(|checked| checked.spec.service_account_name.is_none());
    let lacks_credentials = no_account && NO_CREDENTIALS.iter().any(|words| log.tail.contains(words));
    let account = lacks_credentials.then(|| {
        "Hint: the log shows a call to a Kubernetes API without credentials, and the action names no service account. \
         If the script should use the cluster's API, name one in spec.serviceAccountName of the action or of its template, \
         with a role for what the script does."
            .to_owned()
    });
    let suspects = log.start.as_ref().map(|start| start.suspects.join(", ")).unwrap_or_default();
    let value = (!suspects.is_empty()).then(|| {
        format!(
            "Hint: {suspects}, which many programs take for a part of the value; printf and --from-literal, \
             unlike echo and --from-file, leave it out."
        )
    });
    let mut hint = account.into_iter().chain(value).collect::<Vec<_>>().join(" ");
    // The names come from others.
    hint.retain(|letter| !letter.is_control());
    truncate(&mut hint, MAX_HINT_BYTES);
    (!hint.is_empty()).then_some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        operator::{spec::validate::validate, testing::objects::action},
        record::outcome::{Identity, Start},
    };

    fn hinted(reason: Reason, account: Option<&str>, tail: &str, suspects: &[&str]) -> Option<String> {
        let mut action = action();
        action.spec.service_account_name = account.map(str::to_owned);
        let checked = validate(&action, "amd64").unwrap();
        let start = Start {
            version: 1,
            of: Identity { pod_uid: "p".into(), run_id: "r-1".into() },
            unmasked: vec![],
            adjusted: vec![],
            suspects: suspects.iter().map(|&text| text.to_owned()).collect(),
            proof: None,
            records_proof: None,
        };
        let log = LogFact { tail: tail.to_owned(), start: Some(start), ..LogFact::default() };
        hint(reason, Ok(&checked), Some(&log))
    }

    #[test]
    fn a_tool_that_found_no_cluster_leads_to_the_service_account_that_is_not_named() {
        for tail in [
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?\n",
            "Error: Kubernetes cluster unreachable: Get \"http://localhost:8080/version\": dial tcp [::1]:8080: connect: connection refused\n",
            "error: open /var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory\n",
        ] {
            let hint = hinted(Reason::ScriptFailed, None, tail, &[]).unwrap();
            assert!(hint.starts_with("Hint: ") && hint.contains("spec.serviceAccountName"), "{hint}");
            // A script with a service account has credentials, and a success needed none.
            assert_eq!(hinted(Reason::ScriptFailed, Some("deployer"), tail, &[]), None);
            assert_eq!(hinted(Reason::Succeeded, None, tail, &[]), None);
        }
        // The script's own service.
        for tail in ["localhost:8080 is up\n", "GET http://localhost:8080/api/orders: connection refused\n"] {
            assert_eq!(hinted(Reason::ScriptFailed, None, tail, &[]), None);
        }
    }

    #[test]
    fn a_value_with_an_invisible_end_is_named_when_the_script_fails() {
        let suspect = "\"PASSWORD\" (key \"password\" of Secret \"db\") ends in a newline";
        let hint = hinted(Reason::ScriptFailed, Some("deployer"), "", &[suspect]).unwrap();
        assert!(hint.contains(suspect) && hint.contains("printf"), "{hint}");
        assert_eq!(hinted(Reason::Succeeded, None, "", &[suspect]), None);
        assert_eq!(hinted(Reason::Evicted, None, "", &[suspect]), None);
    }

    #[test]
    fn a_hint_is_bounded_whatever_the_names_are() {
        let name = "x\u{1b}".repeat(1000);
        let hint =
            hinted(Reason::ScriptFailed, None, "localhost:8080 was refused", &[name.as_str(); 5]).unwrap();
        assert!(hint.len() <= MAX_HINT_BYTES && !hint.contains('\u{1b}'), "{hint}");
    }
}
