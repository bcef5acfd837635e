"""`core/python.run` with real interpreters."""

import os
import subprocess
import sys
import time

import pytest

from autokestra.actions import python


@pytest.fixture
def py(run):
    # Under coverage the child is measured as well; without it the environment is what every task has.
    measuring = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_PROCESS_")}

    def run_script(script, *, inputs=None, environ=None, **given):
        options = {name: given.pop(name) for name in ("python", "workdir") if name in given}
        environ = {"PATH": os.environ["PATH"], **measuring} if environ is None else environ
        return run("core/python.run", {"script": script, "inputs": inputs or {}} | options, environ=environ, **given)

    return run_script


@pytest.fixture
def plain(py):
    return lambda script, **given: py(script, environ={"PATH": os.environ["PATH"]}, **given)


def test_inputs_become_output(py):
    ran = py("output = {'sum': sum(inputs['n']), 'text': inputs['t']}", inputs={"n": [1, 2.5], "t": "ü\n"})
    assert (None, {"sum": 3.5, "text": "ü\n"}) == (ran.error, ran.output)


def test_without_output_the_output_is_null(py):
    assert py("x = 1").output is None


def test_tuples_are_lists(py):
    assert [1, [2]] == py("output = (1, (2,))").output


def test_printing_goes_to_the_log_and_is_no_output(py):
    ran = py("import sys; print('out ü'); print('err', file=sys.stderr); output = 1")
    assert ("out ü\n".encode(), b"err\n", 1) == (ran.log.stdout, ran.log.stderr, ran.output)


def test_lines_are_logged_as_they_are_printed(py):
    ran = py("import time; print('early'); time.sleep(100)", deadline=time.monotonic() + 1)
    assert ("timeout", b"early\n") == (ran.reason, ran.log.stdout)


def test_log_is_utf8_whatever_the_locale_says(plain, run):
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONIOENCODING": "latin-1", "PYTHONCOERCECLOCALE": "0"}
    ran = run("core/python.run", {"script": "print('ü \\udc80')"}, environ=environ)
    assert "ü \\udc80\n".encode() == ran.log.stdout


def test_traceback_shows_the_script_and_nothing_of_ours(py):
    ran = py("def f(x):\n    return 1 / x\n\nf(0)\n")
    assert ("exit-code", 1, "the script raised ZeroDivisionError: division by zero") == (
        ran.reason,
        ran.error.exit_code,
        ran.message,
    )
    text = ran.log.stderr.decode()
    assert text.startswith('Traceback (most recent call last):\n  File "<script>", line 4, in <module>\n    f(0)\n')
    assert '  File "<script>", line 2, in f\n    return 1 / x\n' in text
    assert "runner" not in text


def test_syntax_error_shows_the_line(py):
    ran = py("x = 1\ny = (\n")
    assert "the script raised SyntaxError: '(' was never closed" == ran.message
    assert 'File "<script>", line 2\n    y = (' in ran.log.stderr.decode()
    assert "runner" not in ran.log.stderr.decode()


def test_chained_exceptions_are_shown_in_full(py):
    text = py(
        "try:\n    int('x')\nexcept ValueError as error:\n    raise KeyError('y') from error\n"
    ).log.stderr.decode()
    assert "ValueError: invalid literal" in text
    assert "KeyError: 'y'" in text
    assert "runner" not in text


def test_exception_without_text_of_its_own(py):
    ran = py("class Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad")
    assert "the script raised Bad: <exception str() failed>" == ran.message.replace("__main__.", "")


def test_long_exception_is_named_only(py):
    assert "the script raised ValueError" == py("raise ValueError('x' * 2000)").message


@pytest.mark.parametrize(
    ("statement", "code", "printed"),
    [("sys.exit(4)", 4, b""), ("sys.exit('sorry')", 1, b"sorry\n"), ("sys.exit(True)", 1, b""), ("exit(2)", 2, b"")],
)
def test_exit_code_is_honoured(py, statement, code, printed):
    ran = py(f"import sys; output = 1; {statement}")
    assert ("exit-code", code, f"exited with code {code}") == (ran.reason, ran.error.exit_code, ran.message)
    assert printed == ran.log.stderr


@pytest.mark.parametrize("statement", ["sys.exit()", "sys.exit(0)", "raise SystemExit"])
def test_exit_without_error_is_a_success_with_the_output_so_far(py, statement):
    assert 5 == py(f"import sys; output = 5; {statement}").output


def test_exit_that_skips_everything_hands_nothing_over(py):
    ran = py("import os; output = 1; os._exit(0)")
    assert ("bad-output", 0) == (ran.reason, ran.error.exit_code)
    assert "without handing over its output" in ran.message


def test_signal_is_named(py):
    assert "killed by SIGSEGV" == py("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)").message


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("{'a': [1, datetime.date(2026, 1, 1)]}", "output.a[1] is datetime.date, which is no JSON value"),
        ("{1, 2}", "output is set, which is no JSON value"),
        ("{1: 2}", "output has a key that is int instead of text"),
        ("{'\\ud800': 1}", "output has a key that cannot be written as UTF-8"),
        ("['\\udfff']", "output[0] cannot be written as UTF-8"),
        ("float('nan')", "output is nan, which JSON cannot hold"),
        ("loop", "output is nested more than 200 levels deep"),
        ("'x' * 10485759", "output is 10,485,761 bytes long as JSON, more than 10,485,760"),
    ],
)
def test_output_that_cannot_be_handed_on_fails_clearly(py, expression, problem):
    ran = py(f"import datetime\nloop = []\nloop.append(loop)\noutput = {expression}")
    assert ("bad-output", problem, 1) == (ran.reason, ran.message, ran.error.exit_code)


def test_output_of_the_largest_size_arrives(py):
    assert 10_485_758 == len(py("output = 'x' * 10485758").output)


@pytest.mark.parametrize(
    ("answer", "reason", "message"),
    [
        ("b'=[NaN]'", "bad-output", "output is no JSON"),
        ("b'=' + b'1' * 10485761", "too-large", "output is larger than 10,485,760 bytes"),
        ("b'=' + b'1' * 20000000", "too-large", "output is larger than 10,485,760 bytes"),
    ],
)
def test_answer_of_a_script_that_goes_behind_our_back_is_checked(py, answer, reason, message):
    script = f"import os\nwith open(4, 'wb') as f: f.write({answer})\nos._exit(0)"
    ran = py(script)
    assert (reason, message) == (ran.reason, ran.message)


def test_script_that_has_closed_the_result_hands_nothing_over(py):
    assert "bad-output" == py("import os; os.close(4); output = 1").reason


def test_fork_that_runs_to_the_end_answers_for_nobody(py):
    script = """
import os
if os.fork() == 0:
    output = "child"
else:
    os.wait()
    output = "parent"
"""
    assert "parent" == py(script).output


def test_script_is_main(py):
    script = """
import dataclasses, pickle, sys
@dataclasses.dataclass
class Point:
    x: int
assert __name__ == "__main__" and sys.argv == ["<script>"]
output = pickle.loads(pickle.dumps(Point(3))).x
"""
    assert 3 == py(script).output


def test_modules_of_the_working_directory_can_be_imported(py, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "beside.py").write_text("value = 'workflow'")
    (tmp_path / "sub" / "beside.py").write_text("value = 'sub'")
    script = "import beside; output = beside.value"
    assert "workflow" == py(script).output
    assert "sub" == py(script, workdir="sub").output


def test_modules_of_the_working_directory_do_not_get_between(py, tmp_path):
    for name in ("json", "traceback", "linecache", "types"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('shadowed')")
    assert 1 == py("output = 1").output
    assert "the script raised ValueError: x" == py("raise ValueError('x')").message


def test_our_own_modules_do_not_get_between(py):
    assert py("import http.client, console").message.startswith("the script raised ModuleNotFoundError")


def test_interpreter_of_an_environment_is_its_own(plain, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    ran = plain("import sys; output = sys.prefix", python="venv/bin/python", workdir="venv")
    assert str(tmp_path / "venv") == ran.output


def test_interpreter_by_name_is_that_of_the_path(run, tmp_path):
    (tmp_path / "python9").symlink_to(sys.executable)
    inputs = {"script": "output = inputs", "python": "python9"}
    assert {} == run("core/python.run", inputs, environ={"PATH": str(tmp_path)}).output


@pytest.mark.parametrize("name", ["missing", "./missing", "directory/", "./plain"])
def test_missing_interpreter_is_named(plain, tmp_path, name):
    (tmp_path / "directory").mkdir()
    (tmp_path / "plain").touch(0o644)
    ran = plain("output = 1", python=name)
    assert ("start", f"no Python interpreter '{name}'") == (ran.reason, ran.message)


def test_script_and_inputs_are_not_to_be_seen_from_outside(plain):
    script = """
import os
needle = "in" + "visible"
places = [open(f"/proc/self/{name}").read() for name in ("cmdline", "environ")]
output = [needle in place for place in places] + [sorted(os.environ)]
# invisible
"""
    ran = plain(script, inputs={"x": "invisible"})
    # Python itself sets LC_CTYPE in an environment without a locale (PEP 538); it is not in /proc/self/environ.
    assert [False, False] == ran.output[:2]
    assert {"PATH"} == set(ran.output[2]) - {"LC_CTYPE"}


def test_programs_of_the_script_have_neither_script_nor_result(plain):
    script = """
import os, subprocess
own = sorted(os.listdir("/proc/self/fd"), key=int)
output = [own, subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True, close_fds=False).stdout.split()]
"""
    # Each has the directory that it lists open as 3; our own 4 is where the output goes.
    assert [["0", "1", "2", "3", "4"], ["0", "1", "2", "3"]] == plain(script).output


def test_arguments_are_the_same_for_every_script(plain):
    script = "output = open('/proc/self/cmdline').read().split('\\0')[1:]"
    assert ["-c", python._BOOTSTRAP, ""] == plain(script).output


def test_nul_byte_is_refused(py):
    ran = py("x = 'a\0b'")
    assert ("bad-input", "script contains a NUL byte, which Python cannot read") == (ran.reason, ran.message)


def test_inputs_that_are_no_json_are_refused(py):
    ran = py("output = 1", inputs={"x": [float("inf")]})
    assert ("bad-input", "inputs.x[0] is inf, which JSON cannot hold") == (ran.reason, ran.message)


def test_large_inputs_arrive(py):
    assert 5_000_000 == py("output = len(inputs['x'])", inputs={"x": "x" * 5_000_000}).output
