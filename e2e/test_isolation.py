"""What a task finds when it looks around, under each level; asked of the kernel by tasks that try."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from e2e.runs import running, saved, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can isolate")

SECRET = "canary-6b1f0c9d2e7a"


def task(script, *, kind="core/shell.run", **more):
    return {"id": "look", "type": kind, "inputs": {"script": textwrap.dedent(script)}, **more}


def run(workflow, *tasks, args=(), env=None, code=0, **top):
    """Run a workflow of these tasks; return its events as objects."""
    path = workflow.user / "flow.yaml"
    path.write_text(json.dumps({"id": "flow", "tasks": tasks, **top}))
    done = workflow("run", path, "--json", *args, env=env)
    assert code == done.returncode, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def printed(events):
    return [event["message"] for event in events if event["event"] == "log" and event["stream"] == "stdout"]


def said(events, level):
    return [event["message"] for event in events if event["event"] == "log" and event["level"] == level]


def outcome(events):
    return [(event["state"], event["message"]) for event in events if event["event"] == "task"][-1]


def test_the_level_is_a_debug_line_of_the_log_and_not_shown(hidden):
    done = hidden("run", saved(hidden, "{id: a, tasks: [{id: t, type: core/shell.run, inputs: {script: echo hi}}]}"))
    assert "[t] hi" in done.stdout
    assert "isolation" not in done.stdout
    assert "[t] isolation: hidden\n[t] hi\n" == hidden.ok("execution", "logs", "latest", "--debug")
    assert "[t] hi\n" == hidden.ok("execution", "logs", "latest")


def test_a_workflow_and_a_task_choose(hidden):
    tasks = [task(":", isolation=level, id=level) for level in ("hidden", "none")]
    assert {"isolation: hidden", "isolation: none"} == set(said(run(hidden, *tasks), "debug"))
    assert ["isolation: none"] == said(run(hidden, task(":"), isolation="none"), "debug")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_gets_none_and_is_told_so_when_it_asks_for_more(workflow):
    assert ["isolation: none (root can undo it)"] == said(run(workflow, task(":")), "debug")
    warned = said(run(workflow, task(":", isolation="hidden")), "warning")
    assert ["isolation: none (root can undo it), although the workflow asks for hidden"] == warned


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_required_isolation_that_is_not_there_is_refused_before_anything_runs(workflow):
    path = saved(workflow, "{id: a, tasks: [{id: t, type: core/shell.run, inputs: {script: touch ran}}]}")
    error = workflow.fails("run", path, "--require-isolation", code=9)
    assert "isolation is required, but not to be had: root can undo it" == error
    assert not (workflow.user / "ran").exists()
    assert workflow("execution", "list", "--json").stdout == "[]\n"


def test_required_isolation_refuses_a_task_without_it(hidden):
    path = saved(hidden, "{id: a, tasks: [{id: t, isolation: none, type: core/shell.run, inputs: {script: ':'}}]}")
    error = hidden.fails("run", path, "--require-isolation", code=9)
    assert "isolation is required, but 'isolation: none' is written" == error
    assert 0 == hidden("run", saved(hidden, "{id: a, tasks: [{id: t, type: core/shell.run, inputs: {script: ':'}}]}"),
                       "--require-isolation").returncode  # fmt: skip


# --- attacks: each prints what it got hold of ------------------------------------------------------------------------

LOOK_AROUND = {
    "environments": "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -e AUTOKESTRA -e OF_THE_SHELL",
    "command lines": "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -e '[w]orkflow' -e '[s]ibling-argument'",
    "the key file": 'cat "$AT/home/secret.key"',
    "the store": 'grep -c . "$AT/home/secrets.db"',
    "the state": 'grep -c . "$AT/home/state.db"',
    "its descriptors": "for fd in /proc/$$/fd/*; do case ${fd##*/} in [0123]|255) ;; *) ls -l $fd;; esac; done",
}


@pytest.fixture
def secretive(hidden):
    """Somebody with a key and a secret, and the folder of both in `$AT`."""
    hidden("secrets", "set", "CANARY", input=SECRET)
    return hidden


def look(workflow, script, level, code=0, **more):
    """Run a script that goes on after what fails, as somebody would who tries every door."""
    looking = task("set +eo pipefail\n" + script, isolation=level, env={"AT": str(workflow.home.parent)})
    return run(workflow, looking, code=code, env={"OF_THE_SHELL": "yes"}, **more)


@pytest.mark.parametrize("what", LOOK_AROUND)
def test_hidden_leaves_nothing_to_be_found(secretive, what):
    assert [] == printed(look(secretive, LOOK_AROUND[what] + "; true", "hidden"))


@pytest.mark.parametrize("what", [what for what in LOOK_AROUND if what not in ("environments", "its descriptors")])
def test_none_leaves_open_what_the_documentation_says(secretive, what):
    """docs/explanation/isolation.md lists these. The day that one is closed, the list gets shorter."""
    assert [] != printed(look(secretive, LOOK_AROUND[what] + "; true", "none"))
    page = (Path(__file__).parents[1] / "docs/explanation/isolation.md").read_text()
    assert f"| {what} |" in page


@pytest.mark.parametrize("level", ["none", "hidden"])
@pytest.mark.parametrize("what", ["environments", "its descriptors"])
def test_even_without_isolation_the_engine_itself_stays_closed(secretive, what, level):
    """The engine, its fork server and its keepers are not dumpable, and hand nothing on."""
    assert [] == [line for line in printed(look(secretive, LOOK_AROUND[what] + "; true", level)) if "SECRET" in line]


MEMORY = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
mine = {os.getpid()}
for name in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
    pid = int(name)
    if pid in mine:
        continue
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            what = file.read().replace(b"\\0", b" ").decode()
    except OSError:
        what = ""
    # bubblewrap and the shell that waits are this task's own, and hold nothing but what is its own.
    if "/workflow" not in what and "keeper.py" not in what:
        continue
    try:
        open(f"/proc/{pid}/mem", "rb").close()
        print("memory of", what)
    except OSError:
        pass
    if libc.ptrace(16, pid, 0, 0) == 0:  # PTRACE_ATTACH
        print("attached to", what)
        libc.ptrace(17, pid, 0, 0)
"""


@pytest.mark.parametrize("level", ["none", "hidden"])
def test_nobody_reads_or_traces_the_engine(secretive, level):
    assert [] == printed(run(secretive, task(MEMORY, kind="core/python.run", isolation=level)))


def test_a_task_under_hidden_sees_only_itself(secretive):
    sibling = task("exec -a sibling-argument sleep 3", id="sibling")
    looker = task("sleep 0.5; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo", id="looker")
    shown = " ".join(printed(run(secretive, sibling, looker)))
    assert "sibling-argument" not in shown
    assert "bwrap" in shown


@pytest.mark.parametrize(
    "attempt",
    [
        'umount "$AT/home"',
        'unshare -Urm sh -c \'umount "$AT/home"; umount -l /proc; cat /proc/[0-9]*/cmdline | tr "\\0" "\\n" | grep [b]in/workflow\'',
        'mount --bind / /mnt && cat "/mnt$AT/home/secret.key"',
        "unshare -Urm sh -c 'mount --bind / /mnt; cat \"/mnt$AT/home/secret.key\"'",
        "unshare -Urm sh -c 'mount --rbind / /mnt; cat \"/mnt$AT/home/secret.key\"'",
        'cat "/proc/1/root$AT/home/secret.key"',
        'cat "/proc/1/cwd/../home/secret.key"; nsenter -t 1 -m -p cat "$AT/home/secret.key"',
        'ln "$AT/home/secret.key" stolen; cat stolen; mv "$AT/home" "$AT/moved"; cat "$AT/moved/secret.key"',
        "for fd in /proc/self/fd/*; do cat $fd/../secret.key $fd/secret.key; done",
    ],
)
def test_what_covers_the_key_cannot_be_lifted(secretive, attempt):
    events = look(secretive, f'{{ {attempt}; }} 2>/dev/null; ls -A "$AT/home"; true', "hidden")
    assert [] == printed(events)
    assert (secretive.home / "secret.key").exists()


def test_a_task_has_no_powers(secretive):
    status = printed(look(secretive, "grep -e ^Cap -e ^NoNewPrivs /proc/self/status", "hidden"))
    assert {"0000000000000000"} == {line.split()[1] for line in status if line.startswith("Cap")}
    assert "NoNewPrivs:\t1" in status


def test_a_loader_variable_of_the_task_does_not_reach_bubblewrap(secretive):
    """Code that it loads would run before there is anything to be inside of."""
    script = "LD_DEBUG= ; cat /proc/1/environ | tr '\\0' '\\n'; echo $LD_DEBUG_OUTPUT"
    events = run(secretive, task(script, env={"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": "loader", "PLAIN": "1"}))
    assert ["loader"] == printed(events)
    traced = "".join(path.read_text() for path in secretive.user.glob("loader.*"))
    assert "bwrap" not in traced


def test_key_file_and_databases_elsewhere_are_hidden_too(unprivileged, hidden):
    elsewhere = hidden.user / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    elsewhere.chmod(0o777)
    environ = {
        "AUTOKESTRA_SECRET_KEY_FILE": str(hidden.user / "link.key"),
        "AUTOKESTRA_STORE": str(elsewhere / "store.db"),
        "AUTOKESTRA_STATE": str(elsewhere / "state.db"),
    }
    (elsewhere / "real.key").write_text("0" * 63 + "1\n")
    (elsewhere / "real.key").chmod(0o644)
    (hidden.user / "link.key").symlink_to("elsewhere/real.key")
    assert 0 == hidden("secrets", "set", "CANARY", input=SECRET, env=environ).returncode
    script = "set +eo pipefail; cat link.key elsewhere/* | wc -c; ls elsewhere; echo mine > elsewhere/new && cat elsewhere/new"
    lines = printed(run(hidden, task(script + " 2>/dev/null"), env=environ))
    assert "0" == lines[0]
    assert "mine" == lines[-1]
    assert {"real.key", "store.db", "state.db"} <= set(lines[1:-1])


# --- and everything else is as it was ---------------------------------------------------------------------------------


def test_files_are_those_of_the_user_and_stay(hidden):
    run(hidden, task("echo kept > made; mkdir -p $HOME/sub; touch $HOME/sub/x; ls / > /dev/null; : > /dev/null"))
    assert "kept\n" == (hidden.user / "made").read_text()
    assert (hidden.user / "sub/x").exists()


def test_writing_to_the_hidden_home_fails_instead_of_being_lost(secretive):
    command = shutil.which("workflow", path=str(Path(sys.executable).parent))
    events = look(secretive, f'AUTOKESTRA_HOME="$AT/home" {command} secrets set NEW value', "hidden", code=1)
    assert "FAILED" == outcome(events)[0]
    assert "read-only" in str(events).lower()


def test_a_workflow_inside_the_home_works_and_one_in_its_place_is_refused_in_words(secretive):
    inside = secretive.home / "flows"
    inside.mkdir()
    os.chown(inside, secretive.home.stat().st_uid, -1)
    text = json.dumps({"id": "a", "tasks": [task("cat mine; ls -A ..")]})
    (inside / "mine").write_text("here\n")
    (inside / "flow.yaml").write_text(text)
    (secretive.home / "flow.yaml").write_text(text)
    assert "[look] here\n[look] flows\n" in secretive.ok("run", inside / "flow.yaml")
    done = secretive("run", secretive.home / "flow.yaml")
    assert 1 == done.returncode
    assert "is hidden from tasks: keep workflows elsewhere, or write isolation: none" in done.stdout


def test_exit_codes_and_signals_come_through(hidden):
    assert ("FAILED", "exited with code 7") == outcome(run(hidden, task("exit 7"), code=1))
    assert ("FAILED", "killed by SIGSEGV") == outcome(run(hidden, task("kill -SEGV $$"), code=1))
    killed = "killed by SIGKILL, perhaps for lack of memory"
    assert ("FAILED", killed) == outcome(run(hidden, task("kill -9 $$"), code=1))


def test_the_end_of_a_log_that_another_process_writes_is_not_lost(hidden):
    script = "exec > >(sleep 0.2; cat; echo end)\necho middle"
    assert ["middle", "end"] == printed(run(hidden, task(script)))


def test_a_task_may_clean_up_before_it_is_killed(hidden):
    script = "trap 'echo cleaned; exit 0' TERM\nsleep 60 & wait"
    events = run(hidden, task(script, timeout="0.7s"), code=1)
    assert ["cleaned"] == printed(events)
    assert ("FAILED", "stopped, because its timeout has passed") == outcome(events)


def test_what_hides_from_its_group_dies_too(hidden):
    mark = f"{os.getpid()}.5678"
    script = f"trap '' TERM; setsid setsid sh -c \"trap '' TERM HUP; (exec sleep {mark})\" & sleep {mark}"
    run(hidden, task(script, timeout="0.7s"), code=1)
    assert 1 == subprocess.run(["pgrep", "-f", f"sleep {mark}"], check=False, capture_output=True).returncode


def test_results_come_back_through_it(hidden):
    events = run(hidden, task("output = {'n': inputs['n'] + 1}", kind="core/python.run") | {
        "inputs": {"script": "output = {'n': inputs['n'] + 1}", "inputs": {"n": 41}}})  # fmt: skip
    assert "SUCCESS" == outcome(events)[0]
    assert {"n": 42} == json.loads(hidden.ok("execution", "show", "latest", "--json"))["tasks"][0]["attempts"][0][
        "output"
    ]


def test_set_uid_programs_fail_with_the_way_out(hidden):
    script = "echo 'sudo: The \"no new privileges\" flag is set, which prevents sudo from running as root.' >&2; exit 1"
    message = outcome(run(hidden, task(script), code=1))[1]
    assert message.endswith("set-uid programs do not work under isolation; if they must: isolation: none")
    assert "exited with code 1" == outcome(run(hidden, task(script, isolation="none"), code=1))[1]


def test_a_value_that_is_too_large_for_a_variable_is_explained(hidden):
    message = outcome(run(hidden, task(":", env={"BIG": "x" * (128 << 10)}), code=1))[1]
    assert "its environment is too large" in message or "Argument list too long" in message


def test_when_the_engine_is_killed_everything_of_the_task_goes_too(hidden):
    """Whoever forks twice and changes its session included: the namespace ends with bubblewrap."""
    sleep = f"sleep {os.getpid()}.8765"
    path = hidden.user / "flow.yaml"
    path.write_text(json.dumps({"id": "a", "tasks": [task(f"setsid setsid sh -c '(exec {sleep})' & {sleep}")]}))

    def sleeping():
        return subprocess.run(["pgrep", "-xf", sleep], check=False, capture_output=True).stdout.split()

    with running(hidden) as start:
        engine = start("run", path)
        wait_for(lambda: 2 == len(sleeping()), lambda: f"not both have started: {sleeping()}")
        engine.kill()
        engine.wait()
        wait_for(lambda: not sleeping(), lambda: f"orphans: {sleeping()}", seconds=20)


@pytest.mark.parametrize("level", ["none", "hidden"])
def test_actions_of_the_engine_itself_read_nothing_that_tasks_may_not(secretive, level):
    for name in ("secret.key", "secrets.db", "state.db"):
        one = {"id": "t", "type": "core/file.read", "isolation": level, "inputs": {"path": str(secretive.home / name)}}
        assert outcome(run(secretive, one, code=1))[1].endswith("is not for tasks")
    sql = {"database": f"sqlite:///{secretive.home}/state.db", "sql": "SELECT * FROM executions"}
    one = {"id": "t", "type": "core/sql.query", "isolation": level, "inputs": sql}
    assert outcome(run(secretive, one, code=1))[1].endswith("is not for tasks")


# --- places that a task moves: hidden by path, they would be open for the next task ----------------------------------

MOVED = {
    "a renamed folder": ("mv ~/srv ~/srv2", "~/srv2/ak"),
    "a folder in its place": ("mv ~/srv ~/srv2; mkdir -p ~/srv/ak; touch ~/srv/ak/secret.key", "~/srv2/ak"),
    "a replaced link": ("rm ~/lnk; mkdir -p ~/lnk/ak", "~/srv/ak"),
    "a link to elsewhere": ("mkdir -p ~/else/ak; ln -sfn ~/else ~/lnk", "~/srv/ak"),
}


@pytest.fixture
def movable(hidden):
    """Somebody whose home is in a folder that tasks may rename."""
    (hidden.user / "srv").mkdir()
    os.chown(hidden.user / "srv", hidden.user.stat().st_uid, -1)
    (hidden.user / "lnk").symlink_to("srv")
    return hidden


def attack(workflow, script, second, place="srv/ak", **more):
    env = {"AUTOKESTRA_HOME": str(workflow.user / place)}
    done = workflow("secrets", "set", "CANARY", input=SECRET, env=env)
    assert 0 == done.returncode, done.stderr
    first = {**task(script), "id": "first"}
    return run(workflow, first, {**second, "needs": ["first"]}, env=env, **more)


@pytest.mark.parametrize("how", MOVED)
def test_a_task_does_not_start_where_another_has_moved_what_is_hidden(movable, how):
    script, now = MOVED[how]
    place = "lnk/ak" if "link" in how else "srv/ak"
    events = attack(movable, script, task(f"cat {now}/secret.key"), place, code=1, args=["--require-isolation"])
    state, message = outcome(events)
    assert "FAILED" == state
    assert message.startswith(f"'{movable.user / place}' is not where it was when the engine started")
    assert [] == printed(events)


@pytest.mark.parametrize("level", ["none", "hidden"])
@pytest.mark.parametrize("how", MOVED)
def test_actions_of_the_engine_read_nothing_that_was_moved(movable, how, level):
    script, now = MOVED[how]
    place = "lnk/ak" if "link" in how else "srv/ak"
    path = str(movable.user / now[2:] / "secret.key")
    read = {"id": "look", "type": "core/file.read", "isolation": level, "inputs": {"path": path}}
    message = outcome(attack(movable, script, read, place, code=1))[1]
    assert ("is not for tasks" if level == "none" else "is not where it was when the engine started") in message


def test_a_sub_workflow_remembers_what_its_caller_did(movable):
    sub = saved(movable, "{id: sub, tasks: [{id: t, type: core/shell.run, inputs: {script: cat ~/srv2/ak/secret.key}}]}",
                "sub.yaml")  # fmt: skip
    call = {"id": "look", "type": "core/workflow.run", "isolation": "none", "inputs": {"file": str(sub)}}
    events = attack(movable, "mv ~/srv ~/srv2", call, code=1)
    assert [] == printed(events)
    assert "FAILED" == outcome(events)[0]


def test_a_bundle_of_certificates_is_no_way_to_look_at_a_key(movable):
    bundle = str(movable.user / "srv2/ak/secret.key")
    get = {"id": "look", "type": "core/http.get", "isolation": "none",
           "inputs": {"url": "https://127.0.0.1:9/", "caBundle": bundle}}  # fmt: skip
    assert outcome(attack(movable, "mv ~/srv ~/srv2", get, code=1))[1].endswith("is not for tasks")


def test_what_is_moved_back_is_hidden_again(movable):
    events = attack(movable, "mv ~/srv ~/srv2; mv ~/srv2 ~/srv", task("ls ~/srv/ak; echo done"))
    assert ["done"] == printed(events)
