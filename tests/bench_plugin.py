"""Measures the kubectl plugin: PROGRAM NAMESPACE ACTIONS. Prints a table. tests/bench_plugin.sh calls it."""

import json
import os
import statistics
import subprocess
import sys
import time

program, namespace, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
image = os.environ["LONGSHORE_REGISTRY"] + "/examples:0.1.0"


def say(text):
    print(text, file=sys.stderr, flush=True)


def kubectl(*words, text=None):
    return subprocess.run(["kubectl", "--namespace", namespace, *words], input=text, text=True, check=True, capture_output=True).stdout


def action(name, script, **spec):
    return {
        "apiVersion": "longshore.dev/v1alpha1",
        "kind": "DeploymentAction",
        "metadata": {"name": name},
        "spec": {"image": image, "script": {"inline": script}, **spec},
    }


def create(objects):
    listed = {"apiVersion": "v1", "kind": "List", "items": objects}
    kubectl("create", "--filename", "-", text=json.dumps(listed))


def measured(*words):
    """Seconds, and the most memory that was resident, in MiB."""
    begun = time.monotonic()
    child = subprocess.Popen([program, "--namespace", namespace, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, words
    return time.monotonic() - begun, usage.ru_maxrss / 1024


def median(times, *words):
    runs = [measured(*words) for _ in range(times)]
    return statistics.median(run[0] for run in runs) * 1000, max(run[1] for run in runs)


def row(what, value, wanted):
    print(f"| {what} | {value} | {wanted} |", flush=True)


say(f"creating {count} actions that run only when asked ...")
for begin in range(0, count, 500):
    last = min(count, begin + 500)
    create([action(f"action-{number:05}", "true", runPolicy="Manual") for number in range(begin, last)])
    say(f"{last} of {count}")
say("waiting until the operator has seen them ...")
while True:
    seen = kubectl("get", "deploymentactions", "--output", "jsonpath={range .items[*]}{.status.phase}{'\\n'}{end}")
    if seen.split().count("Idle") >= count:
        break
    time.sleep(1)
create([action("deploy", "for i in $(seq 50); do echo line $i; done")])
kubectl("wait", "deploymentaction/deploy", "--for=condition=Finished", "--timeout=120s")

print("| what | measured | wanted |")
print("|---|---|---|")
row("size of the program", f"{os.path.getsize(program) / 1e6:.1f} MB", "15 MB")
row("`--help`", f"{median(20, '--help')[0]:.1f} ms", "20 ms")
took, memory = median(5, "list")
row(f"`list` of {count + 1} actions", f"{took / 1000:.2f} s, {memory:.0f} MiB", "1 s, 60 MB")
row("`describe`", f"{median(10, 'describe', 'deploy')[0]:.0f} ms", "150 ms")
row("`logs` of a log that has ended", f"{median(10, 'logs', 'deploy')[0]:.0f} ms", "")

say("following a log ...")
create([action("follow", "for i in $(seq 300); do date +%s%N; sleep 0.1; done")])
follow = subprocess.Popen([program, "--namespace", namespace, "logs", "follow", "-f"], stdout=subprocess.PIPE)
late = []
for line in follow.stdout:
    late.append((time.time_ns() - int(line)) / 1e6)
assert follow.wait() == 0 and len(late) == 300, len(late)
# The first lines wait for the connection.
late = sorted(late[50:])
row(
    "from a script's clock to the reader of `logs -f`",
    f"median {statistics.median(late):.0f} ms, 90 of 100 within {late[len(late) * 9 // 10]:.0f} ms",
    "150 ms",
)
