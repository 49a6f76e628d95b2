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

// Values that a script adds.

#[test]
fn a_line_that_a_script_adds_is_masked_in_log_and_outputs_from_then_on() {
    let told = Sandbox::script(
        "echo early-value; t='value with $1 \"q\"'; echo \"$t\" >> $LONGSHORE_MASK\n\
         echo \"a $t b\"; printf %s \"$t\" | base64; printf %s \"$t\" | od -An -tx1 -v | tr -d ' \\n'; echo\n\
         set -x; : \"$t\"; set +x; echo early-value >> $LONGSHORE_MASK; echo early-value\n\
         echo \"out=$t\" >> $LONGSHORE_OUTPUT; echo \"$t\" >> $LONGSHORE_OUTPUT",
    )
    .interpreter(&["bash"])
    .outputs(&["out"])
    .run();
    told.assert_exited(0);
    let out = told.out();
    // The last character of base64 holds bits of what is behind the value, too.
    let base64 = out.lines().nth(2).unwrap();
    assert!(base64.starts_with("***") && base64.len() <= 6, "{out}");
    let out = out.replacen(base64, "***", 1);
    assert_eq!(out, "early-value\na *** b\n***\n***\n+ : '***'\n+ set +x\n***\n");
    assert_eq!(told.outputs(), [("out", "***")].into());
    assert!(!format!("{:?}", told.exit()).contains("value with"), "{told:?}");
    assert_eq!(told.exit().unmasked, [""; 0]);
}

/// The runner reads late and much at once, or early and little: it races with the script in both ways.
#[test]
fn a_value_that_is_printed_right_after_it_was_added_never_leaks() {
    const COUNT: usize = 400;
    let shell = "i=0; while [ $i -lt 400 ]; do s=secret-$i-$RANDOM$RANDOM-end\n\
                 echo \"$s\" >> $LONGSHORE_MASK; echo \"$s\"; i=$((i+1)); done";
    // Each write is one call of the kernel, without a buffer.
    let python = "import os\nmask = os.open(os.environ['LONGSHORE_MASK'], os.O_WRONLY | os.O_APPEND)\n\
                  for i in range(400):\n    s = b'secret-%d-%s-end' % (i, os.urandom(6).hex().encode())\n    \
                  os.write(mask, s[:4]); os.write(mask, s[4:] + b'\\n')\n    \
                  os.write(1 + i % 2, s + b'\\n')\n";
    let noise = "while :; do echo noise; done & noisy=$!; ";
    for (script, interpreter) in [
        (shell.to_owned(), "bash"),
        (format!("{noise}{shell}\nkill $noisy"), "bash"),
        (python.to_owned(), "python3"),
    ] {
        for separate in [false, true] {
            let sandbox = Sandbox::script(&script).interpreter(&[interpreter]);
            let told = if separate { sandbox.separate() } else { sandbox }.run();
            told.assert_exited(0);
            let all = [told.stdout.as_slice(), &told.stderr].concat();
            let all = String::from_utf8(all).unwrap();
            assert!(!all.contains("secret-") && !all.contains("-end"), "{interpreter}: {all}");
            assert_eq!(all.lines().filter(|line| *line == "***").count(), COUNT, "{interpreter}");
        }
    }
}

#[test]
fn a_value_that_is_written_in_pieces_is_masked_once_it_was_added() {
    // The second line is added while the runner holds its beginning, which is that of the first one.
    let told = Sandbox::script(
        "echo abcdefgh-first >> $LONGSHORE_MASK; printf abcdefgh-; sleep 0.2; echo first\n\
         printf abcdefgh; sleep 0.2; printf %s abcdefgh-second >> $LONGSHORE_MASK; printf %s -; sleep 0.2; echo second",
    )
    .run();
    told.assert_exited(0);
    assert_eq!(told.out(), "***\n***\n");
}

#[test]
fn what_was_added_stays_masked_when_the_file_is_emptied_or_removed() {
    let told = Sandbox::script(
        "echo first-value >> $LONGSHORE_MASK; echo first-value; sleep 0.2; : > $LONGSHORE_MASK; echo first-value\n\
         echo second-value >> $LONGSHORE_MASK; rm $LONGSHORE_MASK; echo second-value\n\
         echo third-value >> $LONGSHORE_MASK; echo third-value first-value; echo o=first-value >> $LONGSHORE_OUTPUT",
    )
    .outputs(&["o"])
    .run();
    told.assert_exited(0);
    assert_eq!(told.out(), "***\n***\n***\n*** ***\n");
    assert_eq!(told.outputs(), [("o", "***")].into());
}

#[test]
fn a_line_that_is_not_masked_is_told() {
    let told = Sandbox::script(
        "printf 'abc\\n\\n12345\\nlong-enough\\n' >> $LONGSHORE_MASK; seq -f 'value-%g' 1000 >> $LONGSHORE_MASK\n\
         echo long-enough value-1 abc",
    )
    .run();
    told.assert_exited(0);
    assert_eq!(told.out(), "*** *** abc\n");
    assert_eq!(
        told.exit().unmasked,
        [
            "2 lines of $LONGSHORE_MASK with fewer than 6 bytes",
            "1 line of $LONGSHORE_MASK with more than 1000 values or 1048576 bytes before",
        ]
    );
    assert_eq!(told.termination.unwrap().exit.unmasked, told.exit.unwrap().unmasked);
}
