"""The bill of materials and the look for known holes: complete, the same each time, and silence is no good news."""

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release import audit, sbom
from release.build import ROOT
from release.pins import below, read_pins

RUNTIME = {pin.name: pin for pin in read_pins(ROOT / "requirements/runtime.txt")}
FILES = sorted((ROOT / "requirements").glob("*.txt"))


def bill() -> dict:
    return json.loads(sbom.text(ROOT))


# --- pins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_pin_is_read_with_its_hashes(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    pins = read_pins(file)
    assert len(re.findall(r"^[\w.-]+(?:\[.*\])?==", text, re.MULTILINE)) == len(pins)
    assert text.count("--hash=") == sum(len(pin.hashes) for pin in pins)
    assert all(pin.hashes and pin.version for pin in pins)


def test_a_line_that_is_no_pin_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "bad.txt"
    file.write_text("click>=8\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"bad\.txt: expected a pin with hashes, got 'click>=8'"):
        read_pins(file)


# --- the bill -----------------------------------------------------------------------------------------------------


def test_the_bill_is_what_the_schema_of_cyclonedx_demands() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.text(ROOT)) is None


def test_a_bill_that_is_wrong_is_seen_by_that_schema() -> None:
    wrong = bill() | {"serialNumber": "1"}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(wrong)) is not None


def test_the_bill_lists_every_pin_of_an_installation_and_both_packages() -> None:
    """Compared with the file that an installation comes from, in which the build backend is no part of ours."""
    listed = {part["name"]: part for part in bill()["components"]}
    required = {name for name, part in listed.items() if part.get("scope") == "required"}
    assert required == RUNTIME.keys() - {"flit-core"}
    assert {"psycopg", "psycopg-binary", "distributed"} <= {
        name for name, part in listed.items() if part.get("scope") == "optional"
    }
    assert {"autokestra", "autokestra-secrets"} == {bill()["metadata"]["component"]["name"], *listed} - {
        name for name, part in listed.items() if "scope" in part
    }
    for name in required:
        hashes = [each["value"] for each in listed[name]["properties"] if each["name"] == "autokestra:sha256"]
        assert (RUNTIME[name].version, sorted(RUNTIME[name].hashes)) == (listed[name]["version"], sorted(hashes))


def test_nothing_that_only_tests_or_builds_is_in_the_bill() -> None:
    names = {part["name"] for part in bill()["components"]}
    assert set() == names & {"pytest", "mypy", "ruff", "pipx", "flit-core", "cyclonedx-python-lib"}


def test_who_needs_what_is_in_the_bill() -> None:
    needs = {entry["ref"].rpartition("@")[0]: entry.get("dependsOn", []) for entry in bill()["dependencies"]}
    short = {ref.rpartition("/")[2]: {need[9:].rpartition("@")[0] for need in list_} for ref, list_ in needs.items()}
    assert {"cryptography", "hyperscan", "jinja2", "psycopg"} == short["autokestra-secrets"]
    assert {"autokestra-secrets", "click", "pydantic"} <= short["autokestra"]
    assert {"markupsafe"} == short["jinja2"]
    assert {"h11", "certifi"} == short["httpcore"]


def test_two_bills_of_one_tree_are_the_same_bytes(tmp_path: Path) -> None:
    texts = set()
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "release.sbom", "--to", str(tmp_path / seed)]
        done = subprocess.run(
            command, cwd=ROOT, env={"PYTHONHASHSEED": seed, "TZ": f"X{seed}"}, capture_output=True, check=False
        )
        assert (0, b"autokestra-0.1.0.cdx.json\n") == (done.returncode, done.stdout), done.stderr
        texts.add((tmp_path / seed / "autokestra-0.1.0.cdx.json").read_bytes())
    assert 1 == len(texts)


# --- known holes --------------------------------------------------------------------------------------------------

PYTHON = ROOT / ".venv-audit/bin/python"


@pytest.fixture
def service() -> Iterator[str]:
    """A service that speaks OSV's protocol on loopback, and knows of a hole in every version of jinja2 before 99."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer: dict = {}
            if query["package"]["name"] == "jinja2":
                events = [{"introduced": "0"}, {"fixed": "99.0"}]
                where = {"package": {"name": "jinja2", "ecosystem": "PyPI"}}
                answer = {
                    "vulns": [
                        {
                            "id": "TEST-2026-1",
                            "summary": "a hole for the test",
                            "details": "",
                            "modified": "2026-01-01T00:00:00Z",
                            "published": "2026-01-01T00:00:00Z",
                            "affected": [{**where, "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
                        }
                    ]
                }
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def audited(*names: str, url: str, folder: Path) -> tuple[int, str, str]:
    """Audit these pins against a service; return code, stdout, stderr."""
    if not PYTHON.exists():
        pytest.skip("pip-audit is not installed here; make audit installs it in .venv-audit")
    file = folder / "some.txt"
    file.write_text(
        "".join(f"{name}=={RUNTIME[name].version} \\\n    --hash=sha256:{RUNTIME[name].hashes[0]}\n" for name in names),
        encoding="utf-8",
    )
    options = ["--vulnerability-service", "osv", "--osv-url", url, "--timeout", "5"]
    done = subprocess.run(
        [PYTHON, "-m", "release.audit", file, "--options", *options],
        cwd=ROOT,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_known_hole_is_named_with_the_version_that_mends_it(service: str, tmp_path: Path) -> None:
    code, out, err = audited("click", "jinja2", url=service, folder=tmp_path)
    assert (audit.EXIT_FOUND, "") == (code, err)
    assert (
        f"jinja2 {RUNTIME['jinja2'].version}: TEST-2026-1, fixed in 99.0\n2 pins looked up, 1 known holes, 0 pins not looked up\n"
        == out
    )


def test_pins_without_a_known_hole_are_clean(service: str, tmp_path: Path) -> None:
    code, out, _ = audited("click", "markupsafe", url=service, folder=tmp_path)
    assert (audit.EXIT_CLEAN, "2 pins looked up, 0 known holes, 0 pins not looked up\n") == (code, out)


def test_a_service_that_cannot_be_reached_is_not_taken_for_a_clean_result(tmp_path: Path) -> None:
    code, out, err = audited("click", "jinja2", url="http://127.0.0.1:9/", folder=tmp_path)
    assert (audit.EXIT_UNKNOWN, "0 pins looked up, 0 known holes, 2 pins not looked up\n") == (code, out)
    assert "error: the data about known holes cannot be had here, so this says nothing" in err


def test_what_needs_something_is_followed_to_its_end() -> None:
    pins = read_pins(ROOT / "requirements/dev.txt")
    assert {"httpx", "httpcore", "h11", "certifi", "anyio", "idna"} <= below(["httpx"], pins)
    assert set() == below(["no-such-package"], pins)
