//! Says so if the script runs as another user than the image names.

use nix::unistd::{Uid, geteuid};

use super::passwd;

/// Returns a sentence with the line that corrects it. Returns none if the image's `passwd` gives `named` the
/// number of the runner's user.
pub(in crate::runner) fn told(passwd: &str, named: &str) -> Option<String> {
    of(passwd, named, geteuid())
}

fn of(passwd: &str, named: &str, runs: Uid) -> Option<String> {
    let number = passwd::named(passwd, named).map(|entry| Uid::from_raw(entry.user));
    if number == Some(runs) {
        return None;
    }
    let mend = match number {
        Some(number) if number.is_root() => {
            "that is root, which spec.podTemplate.securityProfile: UserNamespaceRoot lets it be".to_owned()
        }
        Some(number) => {
            format!("write spec.podTemplate.securityContext.runAsUser: {number} to run as {named}")
        }
        None => format!(
            "to run as {named}, set spec.podTemplate.securityContext.runAsUser to its number, which the image's \
             /etc/passwd does not have"
        ),
    };
    Some(format!(
        "the image's USER is {named}, and the script runs as user {runs}, since Kubernetes starts no user by name \
         where root is forbidden: {mend}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_with_what_mends_it() {
        let passwd = "root:x:0:0::/:\nbroken\n:x:7:7::/:\nseven:x:7:7::/:\nalso:x:7:7::/:\ntoor:x:0:0::/:\n";
        let told = |named, runs| of(passwd, named, Uid::from_raw(runs));
        let also = told("also", 8).unwrap();
        assert!(also.contains("USER is also") && also.contains("as user 8"), "{also}");
        assert!(also.contains("spec.podTemplate.securityContext.runAsUser: 7 "), "{also}");
        let app = told("app", 8).unwrap();
        assert!(app.contains("runAsUser") && app.contains("/etc/passwd does not have"), "{app}");
        let toor = told("toor", 8).unwrap();
        assert!(toor.contains("securityProfile: UserNamespaceRoot"), "{toor}");
        // It is the same user by another name.
        assert_eq!(told("also", 7), None);
    }
}
