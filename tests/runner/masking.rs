//! The log shows no parts of Secrets, no shell spellings of them, and no replaced token.

use std::fs;

use longshore::record::place;

use super::sandbox::{As, Sandbox, wait_for};

const JSON: &[u8] =
    b"{\n  \"user\": \"deployer\",\n  \"password\": \"JsonPassw0rd-abcdefghijk\",\n  \"key\": \
    \"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0B\\nshort\\n-----END PRIVATE KEY-----\\n\"\n}\n";
const ENV: &[u8] = b"LOG_LEVEL=debug\nDB_PASSWORD=hunter2!\nTOKEN=\"a b'c\\$d\"\n";
const KUBECONFIG: &[u8] =
    b"apiVersion: v1\nkind: Config\nusers:\n- name: ci\n  user:\n    token: \"abc.DEF-123\"\n";

#[test]
fn what_is_taken_out_of_a_secret_is_masked() {
    let told = Sandbox::script(
        "sed -n 's/.*\"password\": \"\\(.*\\)\".*/\\1/p' \"$J\"\n\
         printf %b \"$(sed -n 's/.*\"key\": \"\\(.*\\)\".*/\\1/p' \"$J\")\"\n\
         . \"$E\"; echo \"$DB_PASSWORD\"; echo \"$TOKEN\"; echo $LOG_LEVEL\n\
         sed -n 's/.*token: \"\\(.*\\)\"/\\1/p' \"$K\"; head -2 \"$K\"\n\
         echo $U | sed 's/.*:\\(.*\\)@.*/\\1/'; echo $B",
    )
    .input("J", Some(JSON), false, true)
    .input("E", Some(ENV), false, true)
    .input("K", Some(KUBECONFIG), false, true)
    .secret("U", Some(b"postgres://user:s3cr3t-pw@db/x"))
    .secret("B", Some(b"  leading  blanks"))
    .run();
    told.assert_exited(0);
    assert_eq!(
        told.out(),
        "***\n***\n***\n***\ndebug\n***\napiVersion: v1\nkind: Config\n***\n***\n",
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
}

#[test]
fn a_secret_is_masked_however_shells_quote_it() {
    let value = b"pa'ss$wo\"rd `x`\\-1234";
    let bash = "exec 2>&1; printf '%q\\n' \"$T\"; declare -p T; export -p | grep ' T='; echo \"${T@Q}\"; set -x; : \"$T\"";
    let told = Sandbox::script(bash).interpreter(&["bash"]).secret("T", Some(value)).run();
    told.assert_exited(0);
    assert_eq!(told.out(), "***\ndeclare -x T=\"***\"\ndeclare -x T=\"***\"\n'***'\n+ : '***'\n");
    let told = Sandbox::script("export -p | grep ' T='").interpreter(&["sh"]).secret("T", Some(value)).run();
    told.assert_exited(0);
    assert!(!told.out().contains("1234") && told.out().contains("***"), "{}", told.out());
}

/// As the kubelet mounts it.
fn mount_token(sandbox: &Sandbox, version: &str, token: &str) {
    let path = sandbox.at(place::TOKEN_FILE);
    let folder = path.parent().unwrap();
    fs::create_dir_all(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("token"), token).unwrap();
    let link = folder.join("..data_tmp");
    std::os::unix::fs::symlink(version, &link).unwrap();
    fs::rename(link, folder.join("..data")).unwrap();
    if !path.exists() {
        std::os::unix::fs::symlink("..data/token", path).unwrap();
    }
}

#[test]
fn a_token_beside_the_script_is_masked_also_once_it_is_replaced() {
    let sandbox = Sandbox::script(
        "t=../../../var/run/secrets/kubernetes.io/serviceaccount/token; cat $t; echo; old=$(cat $t)\n\
         echo out=$old >> $LONGSHORE_OUTPUT; touch ready; while [ ! -e go ]; do sleep 0.02; done\n\
         cat $t; echo; echo $old; cat $t | base64 -w0; echo; printf %.9s \"$(cat $t)\"; sleep 0.2; cut -c10- $t\n\
         echo new=$(cat $t) >> $LONGSHORE_OUTPUT",
    )
    .outputs(&["out", "new"]);
    mount_token(&sandbox, "..1", "eyJhbGciOi.first.token-1");
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.at(place::WORK_DIR).join("ready"));
    mount_token(&sandbox, "..2", "eyJhbGciOi.second.token-22");
    fs::write(sandbox.at(place::WORK_DIR).join("go"), "").unwrap();
    let told = running.wait();
    told.assert_exited(0);
    let out = told.out();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((&lines[..3], lines.get(4)), (&["***", "***", "***"][..], Some(&"***")), "{out}");
    // The last characters of base64 are shared with what is behind the token.
    assert!(lines[3].starts_with("***") && lines[3].len() <= 6, "{out}");
    assert_eq!(told.outputs(), [("new", "***"), ("out", "***")].into());
}

#[test]
fn a_value_that_changes_while_the_script_runs_is_masked_too() {
    let sandbox = Sandbox::script(
        "cat $PASSWORD; echo; touch ready; until grep -q second $PASSWORD; do sleep 0.05; done; \
         cat $PASSWORD; echo; echo \"o=$(cat $PASSWORD)\" >> $LONGSHORE_OUTPUT",
    )
    .input("PASSWORD", Some(b"first-password"), false, true)
    .outputs(&["o"]);
    let running = sandbox.start(As::Process);
    wait_for(&sandbox.at("longshore/work/run/ready"));
    let file = sandbox.at(place::INPUTS_DIR).join("PASSWORD");
    fs::write(file.with_extension("new"), "second-password").unwrap();
    fs::rename(file.with_extension("new"), file).unwrap();
    let told = running.wait();
    told.assert_exited(0);
    assert_eq!(told.out(), "***\n***\n");
    assert_eq!(told.exit().outputs["o"], "***");
}
