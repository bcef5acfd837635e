"""`workflow secrets exec` without a terminal: what the program gets, what comes out of it, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.runs import is_alive, wait_for

CANARY = "canary-7f1c-2be"


@pytest.fixture
def stored(workflow):
    workflow.ok("secrets", "set", "TOKEN", input=CANARY)
    return workflow


def run(stored, *args, code=0, **options):
    done = stored("secrets", "exec", *args, **options)
    assert code == done.returncode, done.stderr
    return done.stdout, done.stderr


@contextmanager
def start(stored, *args):
    """Start it for the length of a block; what still runs then is killed, also when a test fails."""
    with subprocess.Popen(
        [stored.executable, "secrets", "exec", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=stored.environment(),
    ) as child:
        try:
            yield child
        finally:
            child.kill()


# --- what the program gets ----------------------------------------------------------------------------------------


def test_the_program_has_the_secret_and_prints_it_masked(stored) -> None:
    script = 'test "$TOKEN" = canary-7f1c-2be && echo "out $TOKEN" && echo "err $TOKEN" >&2'
    assert ("out ***SECRET***\n", "err ***SECRET***\n") == run(stored, "--", "sh", "-c", script)


def test_its_environment_is_ours_without_our_own_settings(stored) -> None:
    env = {"OTHER": "kept", "TOKEN": "ours, which the secret replaces", "AUTOKESTRA_STORE": None}
    out, _ = run(stored, "--", sys.executable, "-c", "import os; print(*sorted(os.environ))", env=env)
    names = set(out.split())
    assert {"OTHER", "TOKEN", "PATH", "HOME"} <= names
    assert not [name for name in names if name.startswith("AUTOKESTRA_")]


def test_the_key_in_the_environment_does_not_reach_it(workflow) -> None:
    env = {"AUTOKESTRA_SECRET_KEY": "correct horse battery staple"}
    workflow.ok("secrets", "set", "TOKEN", input=CANARY, env=env)
    out, _ = run(workflow, "--", "env", env=env)
    assert "AUTOKESTRA" not in out
    assert "horse" not in out
    assert "TOKEN=***SECRET***" in out


def test_it_inherits_no_descriptor_of_ours(stored) -> None:
    script = (
        "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')))"
    )
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        done = subprocess.run(
            [stored.executable, "secrets", "exec", "--", sys.executable, "-c", script],
            env=stored.environment(),
            pass_fds=[writer],
            capture_output=True,
            check=True,
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert b"[0, 1, 2]\n" == done.stdout


def test_stdin_is_handed_on_as_it_is(stored) -> None:
    assert ("one\ntwo\n", "") == run(stored, "--", "cat", input="one\ntwo\n")


def test_only_some_under_names_that_one_chooses(stored) -> None:
    stored.ok("secrets", "set", "smtp-password", input="another-canary")
    stored.ok("secrets", "set", "DB_USER", input="ada-lovelace")
    stored.ok("secrets", "set", "DB_PASSWORD", input="difference-engine")
    show = "import os; print(sorted(n for n in os.environ if n.endswith(('TOKEN', 'PASSWORD', 'USER', 'password'))))"

    def names(*options: str) -> str:
        return run(stored, "-q", *options, "--", sys.executable, "-c", show)[0]

    assert "['TOKEN']\n" == names("--only", "TOKEN")
    assert "['DB_PASSWORD', 'DB_USER']\n" == names("--only", "DB_*")
    assert "['DB_USER', 'SMTP_PASSWORD', 'TOKEN']\n" == names(
        "--only", "TOKEN,SMTP_PASSWORD=smtp-password", "--only", "DB_USER"
    )
    assert "['TF_VAR_TOKEN']\n" == names("--only", "TOKEN", "--prefix", "TF_VAR_")


def test_what_cannot_be_a_variable_is_left_out_and_said(stored, tmp_path: Path) -> None:
    stored.ok("secrets", "set", "smtp-password", input="another-canary")
    binary = tmp_path / "binary"
    binary.write_bytes(b"canary\0canary")
    stored.ok("secrets", "set", "BINARY", "--from-file", binary)
    out, err = run(stored, "--", "sh", "-c", 'echo "$TOKEN ${BINARY-none}"')
    assert "***SECRET*** none\n" == out
    assert "warning: secret 'smtp-password' is not passed: a variable has letters" in err
    assert "--only SMTP_PASSWORD=smtp-password" in err
    assert "warning: secret 'BINARY' is not passed: it has a NUL byte" in err
    assert "" == run(stored, "--quiet", "--", "true")[1]


def test_what_cannot_be_masked_is_said(stored) -> None:
    stored.ok("secrets", "set", "PIN", input="123")
    assert "warning: secret 'PIN' cannot be masked: shorter than 4 bytes" in run(stored, "--", "true")[1]


def test_a_secret_that_only_the_environment_has_is_masked_too(workflow) -> None:
    out, _ = run(workflow, "--only", "CI_TOKEN", "--", "sh", "-c", "echo $CI_TOKEN", env={"CI_TOKEN": CANARY})
    assert "***SECRET***\n" == out


def test_an_empty_store_is_no_reason_to_fail(workflow, home: Path) -> None:
    assert ("hello\n", "") == run(workflow, "--", "echo", "hello")
    assert not home.exists()


# --- what comes out -----------------------------------------------------------------------------------------------


def test_a_value_that_is_written_in_pieces_is_masked(stored) -> None:
    script = "import os,time\nfor b in os.environb[b'TOKEN']: os.write(1, bytes([b])); time.sleep(0.01)"
    assert ("***SECRET***", "") == run(stored, "--", sys.executable, "-c", script)


def test_a_pipe_never_gets_the_beginning_of_a_value_early(stored) -> None:
    script = "import os,time\nos.write(1, b'can'); time.sleep(0.6); os.write(1, b'ary-7f1c-2be.'); time.sleep(0.1)"
    assert ("***SECRET***.", "") == run(stored, "--", sys.executable, "-c", script)


def test_the_placeholder_can_be_chosen_and_may_name_the_secret(stored) -> None:
    stored.ok("secrets", "set", "OTHER", input="another-value-9c")
    env = {"AUTOKESTRA_MASK": "<{name}>"}
    assert ("<TOKEN> <OTHER>\n", "") == run(stored, "--", "sh", "-c", 'echo "$TOKEN $OTHER"', env=env)
    assert ("[gone]\n", "") == run(stored, "--", "sh", "-c", 'echo "$TOKEN"', env={"AUTOKESTRA_MASK": "[gone]"})


def test_a_placeholder_that_cannot_be_shown_is_refused_before_anything_runs(stored) -> None:
    out, err = run(stored, "--", "touch", "ran", code=125, env={"AUTOKESTRA_MASK": "a\x1b[2Jb"})
    assert "" == out
    assert err.startswith("error: AUTOKESTRA_MASK is no placeholder: expected at most 64 printable characters\nhint: ")
    assert not (stored.user / "ran").exists()


def test_encoded_forms_are_masked(stored) -> None:
    assert ("***SECRET***\n", "") == run(stored, "--", "sh", "-c", 'printf "$TOKEN" | base64')


def test_bursts_come_out_whole_and_in_order(stored) -> None:
    script = (
        "import os,sys\nline=b'x'*50+os.environb[b'TOKEN']+b'y'*50+b'\\n'\n"
        "for _ in range(9000): sys.stdout.buffer.write(line)\n"
        "sys.stdout.buffer.write(b'end')"
    )
    out, _ = run(stored, "--", sys.executable, "-c", script)
    assert ("x" * 50 + "***SECRET***" + "y" * 50 + "\n") * 9000 + "end" == out


def test_bytes_that_are_no_text_come_out_as_they_are(stored) -> None:
    script = "import os; os.write(1, bytes(range(256)) * 10)"
    out, _ = run(stored, "--", sys.executable, "-c", script)
    assert bytes(range(256)) * 10 == out.encode(errors="surrogateescape")


def test_stdout_and_stderr_keep_their_order_where_both_go_to_one_file(stored, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done"
    with log.open("wb") as file:
        subprocess.run(
            [stored.executable, "secrets", "exec", "--", "sh", "-c", script],
            env=stored.environment(),
            stdout=file,
            stderr=file,
            check=True,
        )
    assert "".join(f"out {i}\nerr {i}\n" for i in range(1, 6)) == log.read_text()


def test_the_program_learns_that_nobody_reads_any_more(stored) -> None:
    with start(stored, "--", "yes") as child:
        assert b"y\n" == child.stdout.read(2)
        child.stdout.close()
        assert 128 + signal.SIGPIPE == child.wait(timeout=20)


def test_what_is_left_in_the_background_is_not_waited_for(stored) -> None:
    began = time.monotonic()
    out, _ = run(stored, "--", "sh", "-c", "(sleep 30; echo late) & echo now")
    assert "now\n" == out
    assert time.monotonic() - began < 15


def test_closed_streams_are_no_problem(stored) -> None:
    for redirection in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        script = f'"{stored.executable}" secrets exec -- sh -c "exit 3" {redirection}'
        assert 3 == subprocess.run(["sh", "-c", script], env=stored.environment(), check=False).returncode, redirection


# --- how it ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 7, 125, 255])
def test_the_code_is_that_of_the_program(stored, code: int) -> None:
    assert ("", "") == run(stored, "--", "sh", "-c", f"exit {code}", code=code)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal_that_killed_it_is_128_more(stored, number: int) -> None:
    assert ("", "") == run(stored, "--", "sh", "-c", f"kill -{int(number)} $$", code=128 + number)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--", "no-such-program"), 127, "no such program"),
        (("--", "/no/such/program"), 127, "no such program"),
        (("--", ""), 127, "no such program"),
        (("--", "/etc/passwd"), 126, "cannot run '/etc/passwd': permission denied"),
        (("--", "/"), 126, "cannot run '/': permission denied"),
        ((), 125, "missing argument '-- COMMAND...'"),
        (("--bogus", "--", "true"), 125, "no such option"),
        (("--only", "NOPE", "--", "true"), 125, "missing secrets: NOPE"),
        (("--only", "NOPE*", "--", "true"), 125, "no secret matches the pattern"),
        (("--only", "my key", "--", "true"), 125, "invalid secret name: it has a space in it"),
        (("--only", "smtp-password", "--", "true"), 125, "secret 'smtp-password' cannot be passed under this name"),
        (("--only", "A,A=B", "--", "true"), 125, "both 'A' and 'B' would be the variable 'A'"),
        (("--prefix", "AUTOKESTRA_", "--only", "TOKEN", "--", "true"), 125, "AUTOKESTRA_… is never passed on"),
        (("--store", "/nonexistent/store", "--", "true"), 125, "there is no secret store at /…"),
    ],
)
def test_own_failures_have_codes_of_their_own(stored, arguments, code: int, said: str) -> None:
    assert said in stored.fails("secrets", "exec", *arguments, code=code)


def test_a_wrong_key_is_a_failure_of_ours(stored) -> None:
    env = {"AUTOKESTRA_SECRET_KEY": "not the key of this store"}
    assert "does not open" in stored.fails("secrets", "exec", "--", "true", env=env, code=125)


def test_a_program_without_an_interpreter_cannot_be_run(stored, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(b"\0\0\0\0")
    script.chmod(0o755)
    done = stored("secrets", "exec", "--", script)
    assert (126, "") == (done.returncode, done.stdout)
    assert "exec format error" in done.stderr
    assert "#!/bin/sh" in done.stderr


def test_a_value_that_no_variable_can_hold_is_left_out_or_refused(stored) -> None:
    stored.ok("secrets", "set", "HUGE", input="x" * 131_067)
    assert "warning: secret 'HUGE' is not passed: a variable can hold 128 KiB" in run(stored, "--", "true")[1]
    assert "'HUGE' cannot be passed" in stored.fails("secrets", "exec", "--only", "HUGE", "--", "true", code=125)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1])
def test_signals_reach_the_program(stored, number: signal.Signals) -> None:
    script = f"trap 'echo got it; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    with start(stored, "--", "bash", "-c", script) as child:
        assert b"ready\n" == child.stdout.readline()
        child.send_signal(number)
        assert b"got it\n" == child.stdout.read()
        assert 5 == child.wait(timeout=20)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_stopped_program_is_ended_too(stored) -> None:
    with start(stored, "--", "sh", "-c", "echo $$; kill -STOP $$; echo went on") as child:
        pid = int(child.stdout.readline())
        wait_for(lambda: "T" == state(pid), "it did not stop")
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=20) in {0, 128 + signal.SIGTERM}


def test_the_program_does_not_outlive_us(stored) -> None:
    with start(stored, "--", "sh", "-c", "echo $$; exec sleep 60") as child:
        pid = int(child.stdout.readline())
        child.kill()
        child.wait()
        wait_for(lambda: not is_alive(pid), "it goes on", seconds=10)


def test_what_nohup_ignores_stays_ignored(stored) -> None:
    script = f'trap "" HUP; "{stored.executable}" secrets exec -- sh -c "kill -HUP \\$\\$; echo still here"'
    done = subprocess.run(["sh", "-c", script], env=stored.environment(), capture_output=True, check=True)
    assert b"still here\n" == done.stdout
