"""The examples over files, databases and servers: what they leave behind, and what they do when something is wrong."""

import csv
import hmac
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from autokestra_secrets.testing import assert_no_leak
from e2e.runs import SECRET, last, served, told


def test_the_search_for_a_leak_would_find_one(workflow) -> None:
    """The control of `told`."""
    (workflow.user / "leak").write_text(f"<{SECRET}>")
    with pytest.raises(AssertionError, match=r"stands in .*leak as plain text"):
        told(workflow, "secrets", "set", "OTHER", input="another value")


# --- database backup --------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(workflow, example: Callable[[str], Path]) -> Path:
    """The example with its sample database, and a passphrase in the store."""
    folder = example("database-backup")
    subprocess.run([sys.executable, "sample.py"], cwd=folder, check=True)
    workflow.ok("secrets", "set", "BACKUP_PASSPHRASE", input=SECRET)
    return folder


def archives(folder: Path) -> list[Path]:
    return sorted((folder / "backups").glob("*.enc"))


def customers(database: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT * FROM customers ORDER BY id").fetchall()


def test_an_archive_is_encrypted_and_gives_the_same_rows_back(workflow, shop: Path) -> None:
    for _ in range(2):
        told(workflow, "run", shop / "backup.yaml")
    first, second = archives(shop)
    assert b"Salted__" == first.read_bytes()[:8]
    assert first.read_bytes() != second.read_bytes(), "each has a salt of its own"
    plain = (shop / "shop.db").read_bytes()
    assert b"Lovelace" in plain
    assert_no_leak(["Ada Lovelace", "CREATE TABLE customers", "SQLite format 3", f"DE{1:020}"], first, second)
    assert {path.name + end for path in (first, second) for end in ("", ".mac")} == set(os.listdir(shop / "backups"))

    restore = ("run", shop / "restore.yaml", "-i", f"archive={second.relative_to(shop)}")
    told(workflow, *restore)
    assert [(1, "Ada Lovelace", f"DE{1:020}")] == customers(shop / "restored.db")[:1]
    assert customers(shop / "shop.db") == customers(shop / "restored.db")
    assert 0o600 == (shop / "restored.db").stat().st_mode & 0o777
    shown = told(workflow, *restore, code=1)
    assert "restored.db exists already, and is left as it is" in shown
    assert [] == [path for path in shop.iterdir() if path.name.startswith(("backup-", "restore-"))]


def test_the_copy_is_that_of_one_moment_while_others_write(workflow, shop: Path) -> None:
    with closing(sqlite3.connect(shop / "shop.db")) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("INSERT INTO customers VALUES (4, 'committed', 'in the write-ahead log')")
        writer.commit()
        writer.execute("INSERT INTO customers VALUES (5, 'open', 'not committed')")
        told(workflow, "run", shop / "backup.yaml")
        writer.rollback()
    told(workflow, "run", shop / "restore.yaml", "-i", f"archive={archives(shop)[0]}")
    assert [1, 2, 3, 4] == [row[0] for row in customers(shop / "restored.db")]


@pytest.mark.parametrize("damage", ["a bit", "the end", "the salt", "another archive's mac", "another passphrase"])
def test_an_archive_that_is_not_as_it_was_made_is_refused(workflow, shop: Path, damage: str) -> None:
    for _ in range(2 if "mac" in damage else 1):
        told(workflow, "run", shop / "backup.yaml")
    archive, data = archives(shop)[0], bytearray(archives(shop)[0].read_bytes())
    if damage == "a bit":
        data[100] ^= 1
    elif damage == "the end":
        del data[-16:]
    elif damage == "the salt":
        data[9] ^= 1
    elif damage == "another archive's mac":
        other = archives(shop)[1]
        archive.with_name(archive.name + ".mac").write_bytes(other.with_name(other.name + ".mac").read_bytes())
    else:
        workflow.ok("secrets", "set", "BACKUP_PASSPHRASE", input="bp-another-passphrase")
    archive.write_bytes(data)
    shown = told(workflow, "run", shop / "restore.yaml", "-i", f"archive={archive}", code=1)
    assert "is damaged, was changed, or has another passphrase" in shown
    assert not (shop / "restored.db").exists()


def test_old_archives_go_when_the_new_one_is_good_and_not_before(workflow, shop: Path) -> None:
    keep = ("run", shop / "backup.yaml", "-i", "keep=2")
    for _ in range(3):
        told(workflow, *keep)
    kept = archives(shop)
    assert (2, 4) == (len(kept), len(os.listdir(shop / "backups")))
    # An openssl that encrypts something else than it is given: only the trial can notice.
    bad = workflow.user / "bin"
    bad.mkdir()
    (bad / "openssl").write_text(
        '#!/bin/sh\nPATH=${PATH#*:}\ncase "$*" in *-d*) exec openssl "$@" ;; esac\nhead -c 9 | openssl "$@"\n'
    )
    (bad / "openssl").chmod(0o755)
    shown = told(workflow, *keep, env={"PATH": f"{bad}:{os.environ['PATH']}"}, code=1)
    assert "[trial] FAILED" in shown
    assert "NO BACKUP: trial failed" in shown
    assert kept == archives(shop)[:2], "what was good stays"

    (shop / "shop.db").unlink()
    shown = told(workflow, *keep, code=1)
    assert "there is no database at shop.db" in shown
    assert "NO BACKUP: archive failed" in shown
    assert kept == archives(shop)[:2]
    assert not (shop / "shop.db").exists(), "no empty one was made"


# --- SQL report -------------------------------------------------------------------------------------------------------


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database of the kind that the test asks for, with the secret in it."""
    if request.param == "SQLite":
        yield f"sqlite:///{SECRET.replace('/', '_')}.db"
        return
    server = request.getfixturevalue("postgres_server")
    with server.connect() as connection:
        name = f"report_{os.getpid()}"
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
        connection.execute(f"CREATE SCHEMA {name}")
    yield server.url(tcp=True, options=f"-csearch_path={name}", application_name=SECRET)
    with server.connect() as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.mark.parametrize("database_url", ["SQLite", "PostgreSQL"], indirect=True)
def test_the_report_is_the_same_on_every_database(workflow, example, database_url: str) -> None:
    folder = example("sql-report")
    workflow.ok("secrets", "set", "DATABASE_URL", input=database_url)
    run = ("run", folder / "report.yaml", "-i", "from=2026-10-01")
    for _ in range(2):  # a second time changes nothing
        told(workflow, "run", folder / "setup.yaml")
    told(workflow, *run, "-i", "until=2026-11-01")
    assert b"product,orders,turnover\ntea,2,18.00\ncoffee,1,7.90\n" == (folder / "turnover.csv").read_bytes()
    told(workflow, *run, "-i", "until=2026-11-02", "-i", "file=longer.csv")
    assert b"product,orders,turnover\ntea,2,18.00\ncoffee,2,15.80\n" == (folder / "longer.csv").read_bytes()

    shown = told(workflow, *run, "-i", "until=2026-10-01", "-i", "file=empty.csv", code=1)
    assert "no orders from 2026-10-01 until 2026-10-01" in shown
    assert not (folder / "empty.csv").exists()
    shown = workflow("execution", "show", "latest", "--json").stdout + workflow("execution", "logs", "latest").stdout
    assert_no_leak([database_url], shown, workflow.home)


# --- fan out ----------------------------------------------------------------------------------------------------------


def test_every_file_has_its_line_and_no_more_run_at_once_than_allowed(workflow, example) -> None:
    folder = example("fan-out")
    (folder / "many").mkdir()
    for number in range(30):
        text = "hour,celsius\n" + "\n".join(f"{hour:02}:00,{number - hour}" for hour in range(24)) + "\n"
        (folder / "many" / f"station{number:02}.csv").write_text(text if number != 7 else "nothing of the kind")
    done = workflow(
        "run", folder / "stations.yaml", "--json", "--max-parallel", "8", "-i", "folder=many", "-i", "file=of-many.csv"
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    with (folder / "of-many.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    good = [number for number in range(30) if number != 7]
    expected = [[f"station{n:02}", f"{n - 23}.0", "23:00", f"{n}.0"] for n in good]
    assert [["station", "coldest", "at", "warmest"], *expected] == rows

    running, most = set(), 0
    for event in map(json.loads, done.stdout.splitlines()):
        if event["event"] == "task" and event["task"].startswith("each["):
            (running.add if event["state"] == "RUNNING" else running.discard)(event["task"])
            most = max(most, len(running))
    assert most == 4
    assert "could not be read: many/station07.csv" in workflow.ok("execution", "logs", "latest", "--task", "complain")
    assert ["state.db"] == sorted(path.name for path in workflow.home.glob("*.db")), "no store without secrets"


# --- retry ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rates(workflow, example) -> Path:
    """The example with its token in the store, and a file of the last good run."""
    folder = example("retry")
    workflow.ok("secrets", "set", "RATES_TOKEN", input=SECRET)
    (folder / "rates.json").write_text("yesterday's")
    return folder


def requests(log: Path) -> list[tuple[int, float]]:
    """Return status and pause of every request that the server has had."""
    return [(int(line.split()[1]), float(line.split()[3])) for line in log.read_text().splitlines()]


def test_a_server_that_comes_back_is_waited_for(workflow, rates: Path) -> None:
    log = rates / "requests.log"
    with served(rates / "flaky.py", "--failures", "3", token=SECRET, log=log) as address:
        told(workflow, "run", rates / "rates.yaml", "-i", f"api={address}")
    assert [503, 503, 503, 200] == [status for status, _ in requests(log)]
    # 0.2, 0.4 and 0.8 s, of which chance may have taken a quarter; less than half a tenth is rounded.
    pauses = [pause for _, pause in requests(log)][1:]
    assert all(got > least - 0.05 for got, least in zip(pauses, (0.15, 0.3, 0.6), strict=True)), pauses
    assert {"CHF": 0.9312, "NOK": 11.7745, "USD": 1.0841} == json.loads((rates / "rates.json").read_text())["rates"]
    assert ["SUCCESS", "SUCCESS", "SUCCESS", "SKIPPED"] == [task["state"] for task in last(workflow)["tasks"]]


@pytest.mark.parametrize(("token", "status"), [(SECRET, 503), ("another-token", 401)], ids=["down", "wrong token"])
def test_what_never_succeeds_is_given_up_and_the_old_file_stays(workflow, rates: Path, token: str, status: int) -> None:
    log = rates / "requests.log"
    with served(rates / "flaky.py", "--failures", "99", token=token, log=log) as address:
        shown = told(workflow, "run", rates / "rates.yaml", "-i", f"api={address}", code=1)
    assert [status] * 4 == [status for status, _ in requests(log)]
    assert "fetch failed, the old file stays" in shown
    assert "yesterday's" == (rates / "rates.json").read_text()


# --- sub-workflow -----------------------------------------------------------------------------------------------------


def code(customer: str) -> str:
    return hmac.new(SECRET.encode(), customer.encode(), sha256).hexdigest()[:16]


@pytest.fixture
def nightly(workflow, example) -> Path:
    """The example with its pepper in the store."""
    workflow.ok("secrets", "set", "CUSTOMER_PEPPER", input=SECRET)
    return example("sub-workflow")


def test_the_regions_are_one_table_without_customers(workflow, nightly: Path) -> None:
    told(workflow, "run", nightly / "nightly.yaml")
    with (nightly / "orders.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [
        ["region", "customer", "product", "cents"],
        ["north", code("ada@example.org"), "tea", "450"],
        ["north", code("grace@example.org"), "coffee", "790"],
        ["south", code("ada@example.org"), "coffee", "790"],
        ["south", code("edsger@example.org"), "tea", "1350"],
    ] == rows
    # Nor in the rows of the executions, where outputs lie encrypted.
    assert_no_leak(["ada@example.org", "edsger@example.org", code("ada@example.org")], workflow.home)


def test_a_region_that_had_finished_does_not_run_again(workflow, nightly: Path) -> None:
    told(workflow, "run", nightly / "nightly.yaml", "-i", 'regions=["north", "west"]', code=1)
    assert not (nightly / "orders.csv").exists()
    before = {row["id"] for row in json.loads(workflow.ok("execution", "list", "--json"))}
    (nightly / "regions/west.csv").write_text("customer,product,cents\ngrace@example.org,tea,450\n")
    # Were the north read again, its orders would be others.
    (nightly / "regions/north.csv").write_text("customer,product,cents\n")
    told(workflow, "execution", "resume", "latest")
    assert ["north", "north", "west"] == [
        line.split(",")[0] for line in (nightly / "orders.csv").read_text().splitlines()[1:]
    ]
    rows = json.loads(workflow.ok("execution", "list", "--json"))
    assert (3, {"SUCCESS"}, before) == (len(rows), {row["state"] for row in rows}, {row["id"] for row in rows})


def test_a_region_gets_no_secret_that_its_caller_has_not(workflow, nightly: Path) -> None:
    file = nightly / "nightly.yaml"
    text = file.read_text()
    assert "secrets: [CUSTOMER_PEPPER]" in text
    file.write_text(text.replace("secrets: [CUSTOMER_PEPPER]", "secrets: []"))
    shown = told(workflow, "run", file, code=1)
    assert "workflow 'region' wants the secret 'CUSTOMER_PEPPER', which 'nightly' has not" in shown
    assert not (nightly / "orders.csv").exists()
