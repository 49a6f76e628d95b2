//! Scripts that destroy all that they reach, and then end by themselves: the verdict is what happened, or
//! that nobody knows.

use longshore::api::Reason;

use super::{
    attack::{all_finished, attack, is_long, judged, locked, over_in_time, started, told},
    oracle::Alone,
    witness::Witness,
};

/// Removes all that may be removed.
const REMOVES: &str = "rm -rf /longshore /tmp /dev/termination-log /dev/shm/* 2>/dev/null; leave 5";

/// Writes into each file that may be written, its own processes' and the runner's included.
const WRITES: &str = "find / \\( -path /sys -o -path '/proc/[!1]*' \\) -prune -o -type f -writable -print 2>/dev/null |\n\
while read -r file; do timeout 1 sh -c 'echo garbage >\"$1\"' sh \"$file\"; done 2>/dev/null\n\
for file in /proc/1/mem /proc/1/environ /proc/1/comm /proc/1/oom_score_adj /proc/1/coredump_filter /proc/1/clear_refs; do\n\
echo 1 >$file; done 2>/dev/null\nleave 5";

/// A debugger of the runner. If this worked, a script could read and write all of the runner's memory.
const TRACES: &str = "python3 - <<'END'\n\
import ctypes, os\n\
libc = ctypes.CDLL(None, use_errno=True)\n\
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206\n\
for request in (PTRACE_SEIZE, PTRACE_ATTACH):\n\
    if libc.ptrace(request, 1, None, None) == 0:\n\
        os.write(9, b'traced\\n')\n\
for path in ('/proc/1/mem', '/proc/1/environ', '/proc/1/maps', '/proc/1/fd/1', '/proc/1/exe', '/proc/1/cwd'):\n\
    try:\n\
        open(path, 'rb').read(1)\n\
        os.write(9, f'read {path}\\n'.encode())\n\
    except OSError:\n\
        pass\n\
END\n\
sleep 1; leave 5";

/// Its own control group, where that is shown to it.
const CGROUP: &str = "find /sys/fs/cgroup -type f -writable 2>/dev/null | while read -r file; do echo 0 >\"$file\"; done 2>/dev/null\n\
for state in FROZEN 1; do find /sys/fs/cgroup -name '*freeze*' 2>/dev/null |\n\
while read -r file; do echo $state >\"$file\"; done 2>/dev/null; done\nleave 5";

/// The runner's own records lie in such a folder; who is over its limit is evicted. In the long form alone,
/// for these are 5 GB.
const FILLS: &str =
    "for at in state work; do head -c 2500M /dev/zero >/longshore/$at/full; done; sleep 60; leave 5";

#[tokio::test]
async fn a_script_that_destroys_all_it_reaches_has_failed_and_never_succeeded() {
    judged(Alone::Action, async |namespace| {
        let mut bodies =
            vec![("removes", REMOVES), ("writes", WRITES), ("traces", TRACES), ("cgroup", CGROUP)];
        if is_long() {
            bodies.push(("fills", FILLS));
        }
        let attacks = bodies.into_iter().map(|(name, body)| {
            (name.to_owned(), attack(body).with("runDeadlineSeconds", 90).outputs(&["url"]))
        });
        for done in all_finished(namespace, attacks).await {
            let reason = done.reason();
            assert!(
                matches!(reason, Some(Reason::ScriptFailed | Reason::Evicted | Reason::Unknown)),
                "{}",
                done.message()
            );
        }
        for life in Witness::get().lives(&namespace.name) {
            assert!(life.said.is_empty(), "{}: {:?}", life.action, life.said);
        }
    })
    .await;
}

#[tokio::test]
async fn destroying_all_it_reaches_helps_no_script_to_outlive_its_deadline_or_its_lock() {
    judged(Alone::Namespace, async |namespace| {
        let body = REMOVES.replace("leave 5", "trap '' TERM; while :; do sleep 1; done");
        let first = namespace.apply("first", locked(attack(&body))).await;
        started(&first, 1).await;
        let second = namespace.apply("second", locked(told("leave 0"))).await;
        over_in_time(&first).await;
        second.finished().await.assert_succeeded();
    })
    .await;
}
