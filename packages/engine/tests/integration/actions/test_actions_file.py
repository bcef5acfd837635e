"""Reading and writing files from the engine, which may see what tasks may not."""

import os
import stat
import threading

import pytest

from autokestra.actions import file
from autokestra.actions.isolation import Isolation
from autokestra.actions.protocol import MAX_RESULT_BYTES


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("encoding", "data", "content"),
    [("text", "ü\n".encode(), "ü\n"), ("base64", b"\xff\0", "/wA="), ("json", b'{"a": [1]}', {"a": [1]})],
)
def test_content_is_read_as_asked(run, tmp_path, encoding, data, content):
    (tmp_path / "in").write_bytes(data)
    assert {"content": content, "size": len(data), "path": str(tmp_path / "in")} == run(
        "core/file.read", {"path": "in", "encoding": encoding}
    ).output


@pytest.mark.parametrize(
    ("encoding", "content", "data"),
    [("text", "ü", "ü".encode()), ("base64", "/wA=", b"\xff\0"), ("json", {"ü": 1}, '{\n  "ü": 1\n}\n'.encode())],
)
def test_content_is_written_as_asked(run, tmp_path, encoding, content, data):
    ran = run("core/file.write", {"path": "out", "content": content, "encoding": encoding, "mode": "0600"})
    assert {"path": str(tmp_path / "out"), "size": len(data)} == ran.output
    assert (data, 0o600) == ((tmp_path / "out").read_bytes(), mode_of(tmp_path / "out"))


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(run, tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with (tmp_path / "real").open() as reader:
        assert run("core/file.write", {"path": "link", "content": "new"}).error is None
        assert "old" == reader.read()
    assert "new" == (tmp_path / "real").read_text()
    assert (tmp_path / "link").is_symlink()
    assert 0o644 == mode_of(tmp_path / "real")
    assert {"real", "link"} == {path.name for path in tmp_path.iterdir()}


def test_directories_are_made_when_asked(run, tmp_path):
    assert "no such file or directory" in run("core/file.write", {"path": "a/b/c", "content": "x"}).message
    run("core/file.write", {"path": "a/b/c", "content": "x", "createDirectories": True})
    assert "x" == (tmp_path / "a/b/c").read_text()


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"path": "missing"}, "cannot read 'missing': no such file or directory"),
        ({"path": "."}, "cannot read '.': is a directory"),
        ({"path": "pipe"}, "cannot read 'pipe': it is no file"),
        ({"path": "a\0b"}, "a path contains a NUL byte"),
        ({"path": "bytes"}, "'bytes' is no text in UTF-8; read it with encoding: base64"),
        ({"path": "bytes", "encoding": "json"}, "'bytes' is no JSON"),
        ({"path": "large"}, "'large' is larger than 10,485,760 bytes"),
        ({"path": "/proc/self/environ"}, "'/proc/self/environ' is not for tasks"),
        ({"path": "/dev/zero"}, "cannot read '/dev/zero': it is no file"),
    ],
)
def test_what_cannot_be_read_is_explained(run, tmp_path, inputs, said):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff")
    with (tmp_path / "large").open("wb") as large:
        large.truncate(MAX_RESULT_BYTES + 1)
    assert said == run("core/file.read", inputs).message


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"path": "x", "content": 5}, "content is no text; write it with encoding: json"),
        ({"path": "x", "content": "?", "encoding": "base64"}, "content is no base64"),
        ({"path": "directory", "content": "x"}, "cannot write 'directory': it is there, and no file"),
        ({"path": "no/x", "content": "x"}, "cannot write 'no/x': no such file or directory"),
    ],
)
def test_what_cannot_be_written_is_explained(run, tmp_path, inputs, said):
    (tmp_path / "directory").mkdir()
    assert said == run("core/file.write", inputs).message
    assert ["directory"] == [path.name for path in tmp_path.iterdir()]


def test_a_disk_that_fails_leaves_nothing_behind(run, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "cannot write 'x': no space left on device" == run("core/file.write", {"path": "x", "content": "x"}).message
    assert [] == list(tmp_path.iterdir())


# --- what is nobody's business ------------------------------------------------------------------------------------------


@pytest.fixture
def private(run, tmp_path):
    """Runs an action where `home` and `elsewhere.db` are hidden."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home/secret.key").write_text("key")
    (tmp_path / "elsewhere.db").write_text("database")
    hidden = (str(tmp_path / "home"), str(tmp_path / "elsewhere.db"))
    return lambda type_, **inputs: run(type_, inputs, isolation=Isolation(hidden=hidden))


@pytest.mark.parametrize(
    "path", ["home/secret.key", "x/../home/secret.key", "elsewhere.db", "link", "in/secret.key", "hard"]
)
def test_keys_and_databases_are_refused_by_every_name(private, tmp_path, path):
    (tmp_path / "link").symlink_to("home/secret.key")
    (tmp_path / "in").symlink_to("home")
    os.link(tmp_path / "elsewhere.db", tmp_path / "hard")
    ran = private("core/file.read", path=path)
    assert ran.message.endswith("is not for tasks")
    assert "bad-input" == ran.reason
    if path != "hard":  # there a new file takes the name, and the database stays what it is
        assert private("core/file.write", path=path, content="x").message.endswith("is not for tasks")
    assert private("core/file.write", path="home/a/b", content="x", createDirectories=True).message.endswith("tasks")
    assert ("key", "database") == ((tmp_path / "home/secret.key").read_text(), (tmp_path / "elsewhere.db").read_text())
    assert ["secret.key"] == os.listdir(tmp_path / "home")


def test_a_link_that_changes_while_it_is_looked_at_leads_nowhere(private, tmp_path):
    (tmp_path / "harmless").write_text("harmless")
    link, stop = tmp_path / "link", threading.Event()

    def swap():
        while not stop.is_set():
            for target in ("harmless", "home/secret.key"):
                (tmp_path / "next").symlink_to(target)
                os.rename(tmp_path / "next", link)

    link.symlink_to("harmless")
    thread = threading.Thread(target=swap)
    thread.start()
    contents = [private("core/file.read", path="link").output for _ in range(300)]
    stop.set()
    thread.join()
    assert {"harmless"} == {each["content"] for each in contents if each}


def test_without_proc_the_path_is_judged(private, monkeypatch):
    def refuse(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(file.os, "readlink", refuse)
    assert private("core/file.read", path="home/secret.key").message.endswith("is not for tasks")
