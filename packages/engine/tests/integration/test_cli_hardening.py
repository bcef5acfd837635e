"""What other processes of the same user can see of a `workflow` process, asked of the kernel."""

import json
import os
import subprocess
import sys

import pytest

PROBE = """
import ctypes, json, resource
from autokestra import hardening
from autokestra.cli.main import protect
protect()
print(json.dumps([resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)]))
"""


def probe(script: str, **environ: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environ}, capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the flag")
def test_the_process_writes_no_core_and_cannot_be_read() -> None:
    out, err = probe(PROBE, AUTOKESTRA_DEBUG="")
    assert [[0, 0], 0] == json.loads(out)
    assert "" == err


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the flag")
def test_debugging_leaves_it_open_and_says_so() -> None:
    out, err = probe(PROBE, AUTOKESTRA_DEBUG="1")
    assert 1 == json.loads(out)[1]
    assert "warning: AUTOKESTRA_DEBUG=1: other processes of this user can read this one's memory\n" == err


def test_what_could_not_be_closed_is_named() -> None:
    out, _ = probe(
        "import sys; sys.modules['resource'] = None; sys.modules['ctypes'] = None\n"
        "from autokestra.hardening import forbid_dumps; print(*forbid_dumps(), sep=',')\n"
        "sys.platform = 'darwin'; print(*forbid_dumps(), sep=',')"
    )
    assert "core files,memory\ncore files,memory\n" == out


def test_a_closed_descriptor_is_never_given_to_a_file() -> None:
    """With stdout closed, the next file opened would be number 1, and a print would write into it."""
    out, _ = probe(
        "import os, tempfile\n"
        "keep = os.dup(1); os.close(0); os.close(1)\n"
        "from autokestra.hardening import reserve_standard_streams; reserve_standard_streams()\n"
        "number = tempfile.TemporaryFile().fileno(); os.write(keep, b'%d' % (number > 2))"
    )
    assert "1" == out
