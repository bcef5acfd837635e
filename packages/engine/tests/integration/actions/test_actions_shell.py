"""`core/shell.run` with real shells."""

import shutil

import pytest


@pytest.fixture
def shell(run):
    def run_script(script, *, shell="bash", workdir=None, **given):
        inputs = {"script": script, "shell": shell} | ({"workdir": workdir} if workdir is not None else {})
        return run("core/shell.run", inputs, **given)

    return run_script


def test_stdout_is_the_output_and_the_log(shell):
    ran = shell("echo out; echo err >&2")
    assert {"exitCode": 0, "stdout": "out\n", "stdoutTruncated": False} == ran.output
    assert (b"out\n", b"err\n") == (ran.log.stdout, ran.log.stderr)


@pytest.mark.parametrize("name", ["bash", "sh"])
def test_exit_code_of_the_script_decides(shell, name):
    assert shell("set +e; false; true", shell=name).error is None
    ran = shell("echo before; exit 3", shell=name)
    assert ("exit-code", 3, "exited with code 3") == (ran.reason, ran.error.exit_code, ran.message)
    assert {"exitCode": 3, "stdout": "before\n", "stdoutTruncated": False} == ran.output


@pytest.mark.parametrize("name", ["bash", "sh"])
def test_script_is_in_no_argument_list_and_leaves_no_descriptor(shell, name):
    ran = shell("ls /proc/self/fd | tr '\\n' ' '; tr '\\0' ' ' </proc/$$/cmdline", shell=name)
    # ls has its own directory open as 3; the script's file and the pipes of the engine are not there.
    strict = {"bash": ["-eo", "pipefail"], "sh": ["-e"]}[name]
    assert ["0", "1", "2", "3", shutil.which(name), *strict, "/dev/fd/3"] == ran.output["stdout"].split()


@pytest.mark.parametrize("name", ["bash", "sh"])
def test_nothing_but_the_standard_streams_is_open_in_a_program_of_the_script(shell, name):
    ran = shell("readlink /proc/self/fd/3 || echo closed; ls -l /proc/$$/fd", shell=name)
    assert ran.output["stdout"].startswith("closed\n")


def test_standard_input_is_empty(shell):
    assert "0\n" == shell("cat | wc -c; ").output["stdout"]


def test_lines_are_counted_as_they_are_written(shell):
    ran = shell("#!/bin/bash\n\nmissing-program || true\necho $LINENO")
    assert "4\n" == ran.output["stdout"]
    assert b"line 3: missing-program" in ran.log.stderr


def test_script_may_use_the_descriptor_and_replace_the_shell(shell):
    ran = shell("exec 3>three; echo kept >&3; exec cat three")
    assert "kept\n" == ran.output["stdout"]


def test_script_of_a_megabyte(shell):
    ran = shell("# filler\n" * 120_000 + "echo end")
    assert "end\n" == ran.output["stdout"]


def test_template_like_text_and_non_ascii_survive(shell):
    ran = shell("a=(x y); echo ${#a[@]} 'ä {{ x }} €'")
    assert "2 ä {{ x }} €\n" == ran.output["stdout"]


def test_bytes_that_are_no_text_are_replaced(shell):
    ran = shell(r"printf 'a\377\000b'")
    assert "a\ufffd\0b" == ran.output["stdout"]
    assert b"a\xff\0b" == ran.log.stdout


def test_more_than_a_mebibyte_is_cut_at_the_end_of_a_line_and_said(shell):
    ran = shell("echo one; head -c 1048575 /dev/zero | tr '\\0' x; printf '€€'")
    assert ran.output["stdoutTruncated"]
    assert "one\n" == ran.output["stdout"]
    assert 1_048_585 == ran.log.total


@pytest.mark.parametrize(("name", "script"), [("sh", "false"), ("bash", "false"), ("bash", "false | cat")])
def test_what_fails_in_the_middle_fails_the_task(shell, name, script):
    ran = shell(f"{script}\necho not reached", shell=name)
    assert ("exit-code", 1, "") == (ran.reason, ran.error.exit_code, ran.output["stdout"])


def test_working_directory_is_relative_to_the_workflow(shell, tmp_path):
    (tmp_path / "sub").mkdir()
    assert f"{tmp_path}\n" == shell("pwd").output["stdout"]
    assert f"{tmp_path}/sub\n" == shell("pwd", workdir="sub").output["stdout"]
    assert "/\n" == shell("pwd", workdir="/").output["stdout"]


def test_missing_working_directory_is_named(shell, tmp_path):
    ran = shell("pwd", workdir="gone")
    assert ("bad-input", f"working directory '{tmp_path}/gone' does not exist") == (ran.reason, ran.message)


def test_working_directory_that_is_a_file_is_named(shell, tmp_path):
    (tmp_path / "file").touch()
    ran = shell("pwd", workdir="file")
    assert ("bad-input", f"working directory '{tmp_path}/file' is no directory") == (ran.reason, ran.message)


def test_shell_that_is_not_there_is_named(shell, tmp_path):
    ran = shell("true", environ={"PATH": str(tmp_path)})
    assert ("start", "no 'bash' on the PATH") == (ran.reason, ran.message)


def test_relative_entries_of_the_path_find_no_shell(shell, tmp_path):
    (tmp_path / "bash").symlink_to("/bin/sh")
    assert "start" == shell("true", environ={"PATH": ".:"}).reason


def test_without_a_path_the_system_default_counts(shell):
    assert "hi\n" == shell("echo hi", environ={}).output["stdout"]


def test_script_that_no_shell_can_read_is_refused(shell):
    ran = shell("echo a\0b")
    assert ("bad-input", "script contains a NUL byte, which no shell can read") == (ran.reason, ran.message)


def test_syntax_error_fails_the_task(shell):
    ran = shell("if then")
    assert ("exit-code", 2) == (ran.reason, ran.error.exit_code)


def test_commands_before_a_syntax_error_run_as_in_any_script(shell):
    assert "one\n" == shell("echo one\nif then").output["stdout"]
