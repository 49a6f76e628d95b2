//! Values as files.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};

use longshore::{
    record::{outcome::Problem, place},
    runner::INPUT_UNUSABLE,
};

use super::sandbox::{As, Sandbox, wait_for};

#[test]
fn a_file_is_the_script_s_own_and_nobody_else_s() {
    let sandbox =
        Sandbox::script("stat -c '%a %u' \"$A\" \"$S\"; id -u; cat \"$A\" \"$S\"; echo new > \"$S\"")
            .value("A", "first\n", true)
            .value("A", "plain\n", true)
            .input("S", Some(b"hidden secret\0\n"), false, true);
    let told = sandbox.run_as(As::UnprivilegedPid1);
    told.assert_exited(0);
    let user = told.out().lines().nth(2).unwrap().to_owned();
    assert_eq!(told.out(), format!("600 {user}\n600 {user}\n{user}\nplain\n***\n"));
    assert_eq!(fs::read(sandbox.at(place::INPUTS_DIR).join("S")).unwrap(), b"hidden secret\0\n");
    assert_eq!(fs::read_to_string(sandbox.at(place::FILES_DIR).join("S")).unwrap(), "new\n");
}

#[test]
fn a_value_s_file_stays_in_its_folder_whatever_its_name_is() {
    let long = "x".repeat(253);
    for name in ["b/../../c", "..", &long] {
        let sandbox = Sandbox::command(&["printenv", name]).value(name, "slashed", true);
        let told = sandbox.run();
        told.assert_exited(0);
        let path = told.out();
        assert_eq!(fs::read_to_string(path.trim()).unwrap(), "slashed");
        assert_eq!(path.trim(), sandbox.at(place::FILES_DIR).join(".0").display().to_string());
    }
}

#[test]
fn a_file_has_the_mode_that_is_wanted_and_a_link_where_it_is_looked_for() {
    let script = "set -e; cat ~/.ssh/id_ed25519 conf/app.yaml top; stat -L -c %a ~/.ssh/id_ed25519 conf/app.yaml top\n\
        stat -c %a ~/.ssh; [ ~/.ssh/id_ed25519 -ef \"$KEY\" ]; [ ! -e .ssh ]";
    let sandbox = Sandbox::script(script)
        .input("KEY", Some(b"the private key\n"), false, true)
        .file(None, Some("~/.ssh/id_ed25519"))
        .value("CONF", "conf\n", true)
        .file(Some(0o644), Some("conf/app.yaml"))
        .value("TOP", "top\n", true)
        .file(Some(0o750), Some("top"));
    let told = sandbox.run_as(As::UnprivilegedPid1);
    told.assert_exited(0);
    assert_eq!(told.out(), "***\nconf\ntop\n600\n644\n750\n700\n");
}

#[test]
fn a_home_that_the_image_gives_its_user_has_the_link_too_where_it_can_be_written() {
    let sandbox = |home: &str| {
        let sandbox = Sandbox::script("cat ~/.netrc").value("A", "kept\n", true).file(None, Some("~/.netrc"));
        fs::create_dir_all(sandbox.at("etc")).unwrap();
        let user = nix::unistd::geteuid();
        fs::write(sandbox.at("etc/passwd"), format!("app:x:{user}:0::{home}:/bin/sh\n")).unwrap();
        sandbox
    };
    let there = sandbox("/home/app");
    fs::create_dir_all(there.at("/home/app")).unwrap();
    there.run().assert_exited(0);
    assert_eq!(fs::read_to_string(there.at("/home/app/.netrc")).unwrap(), "kept\n");
    let missing = sandbox("/nonexistent");
    missing.run().assert_exited(0);
    assert!(!missing.at("/nonexistent").exists());
}

#[test]
fn a_link_of_an_earlier_run_is_no_hindrance_in_a_volume_that_stays() {
    let sandbox = Sandbox::script("cat conf").value("A", "again\n", true).file(None, Some("conf"));
    fs::create_dir_all(sandbox.at(place::WORK_DIR)).unwrap();
    symlink(sandbox.at(place::FILES_DIR).join("A"), sandbox.at(place::WORK_DIR).join("conf")).unwrap();
    let told = sandbox.run();
    told.assert_exited(0);
    assert_eq!(told.out(), "again\n");
}

#[test]
fn what_leads_elsewhere_or_is_taken_is_refused_and_nothing_runs() {
    let elsewhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("elsewhere-{}", std::process::id()));
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("victim"), "whole").unwrap();
    let refused = |path: &str, says: &str, plant: &dyn Fn(&Sandbox)| {
        let sandbox = Sandbox::script("touch ran").value("A", "value", true).file(None, Some(path));
        for folder in [place::WORK_DIR, place::HOME_DIR] {
            fs::create_dir_all(sandbox.at(folder)).unwrap();
        }
        plant(&sandbox);
        let told = sandbox.run();
        let message = told.assert_refused(Problem::Input, INPUT_UNUSABLE);
        assert!(message.contains(says) && message.contains("variable A"), "{path}: {message}");
        assert!(!sandbox.at(place::WORK_DIR).join("ran").exists());
    };
    let nothing = |_: &Sandbox| {};
    for path in ["../a", "~/../a", "a/../../b", "/etc/a", "~/", "", "a//b", "./a", "a/.", "~/a/"] {
        refused(path, "does not stay below", &nothing);
    }
    refused(&"x".repeat(300), "no link can be made there", &nothing);
    refused(&format!("{}/a", "x".repeat(300)), "cannot be made", &nothing);
    refused("~/.ssh/id", "a link, or no folder", &|sandbox| {
        symlink(&elsewhere, sandbox.at(place::HOME_DIR).join(".ssh")).unwrap();
    });
    refused("~/.ssh/id", "a link, or no folder", &|sandbox| {
        fs::write(sandbox.at(place::HOME_DIR).join(".ssh"), "").unwrap();
    });
    for to in [elsewhere.join("victim"), elsewhere.join("nothing")] {
        refused("~/id", "something else is there", &|sandbox| {
            symlink(&to, sandbox.at(place::HOME_DIR).join("id")).unwrap();
        });
    }
    assert_eq!(fs::read_to_string(elsewhere.join("victim")).unwrap(), "whole");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
    fs::remove_dir_all(elsewhere).unwrap();
}

#[test]
fn two_files_in_each_other_s_way_are_refused() {
    for (one, other) in [("a", "a"), ("a", "a/b"), ("a/b", "a")] {
        let told = Sandbox::script("")
            .value("ONE", "1", true)
            .file(None, Some(one))
            .value("OTHER", "2", true)
            .file(None, Some(other))
            .run();
        let message = told.assert_refused(Problem::Input, INPUT_UNUSABLE);
        assert!(message.contains("variable OTHER is to lie at"), "{message}");
    }
}

#[test]
fn a_copy_follows_its_source_and_leads_nowhere_whatever_the_script_puts_in_its_place() {
    let script = "touch ready; i=0; [ -L ~/token ]\n\
        until [ \"$(cat ~/token)\" = second-value ]; do i=$((i+1)); [ $i -lt 200 ] || exit 9; sleep 0.1; done\n\
        stat -L -c %a \"$S\"; cat \"$S\"";
    let replaced = format!("rm \"$S\"; ln -s \"$VICTIM\" \"$S\"; {script}");
    for script in [script, &replaced] {
        let mut sandbox = Sandbox::script(script)
            .input("S", Some(b"first-value"), false, true)
            .file(Some(0o640), Some("~/token"));
        let victim = sandbox.at("victim");
        fs::write(&victim, "whole").unwrap();
        sandbox = sandbox.value("VICTIM", victim.to_str().unwrap(), false);
        let running = sandbox.start(As::Process);
        wait_for(&sandbox.at(place::WORK_DIR).join("ready"));
        let source = sandbox.at(place::INPUTS_DIR).join("S");
        fs::write(source.with_extension("new"), "second-value").unwrap();
        fs::rename(source.with_extension("new"), &source).unwrap();
        let told = running.wait();
        told.assert_exited(0);
        assert_eq!(told.out(), "640\n***");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "whole");
        let folder = sandbox.at(place::FILES_DIR);
        assert_eq!(fs::metadata(folder.join("S")).unwrap().nlink(), 1);
        assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing is left behind");
    }
}
