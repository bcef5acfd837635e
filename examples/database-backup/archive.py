"""Encrypted archives of a SQLite database: `create` makes one, `restore` gives the database back, `prune` tidies up.

An archive is `gzip | openssl enc -aes-256-cbc -pbkdf2`, so that on a bad day any machine with openssl and the
passphrase can open it. That format does not notice when somebody changes it; a file beside it does, NAME.mac: the
HMAC-SHA256 of the archive, under a key from the same passphrase. Needs the standard library and the `openssl` program.
"""

import gzip
import hashlib
import hmac
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

ITERATIONS: Final = 600_000  # of PBKDF2-HMAC-SHA256, as OWASP recommends
SUFFIX: Final = ".db.gz.enc"
# `env:` names the variable that holds the passphrase: on the command line everybody on the machine could read it.
CIPHER: Final = ("openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-iter", str(ITERATIONS), "-pass", "env:PASSPHRASE")


class ArchiveError(Exception):
    """An archive that cannot be made, or not be trusted."""


def create(database: Path, folder: Path, passphrase: str) -> Path:
    """Write a consistent copy of `database` into a new archive, and return its path."""
    if not database.is_file():  # sqlite3 would make an empty one, and we a perfect backup of nothing
        raise ArchiveError(f"there is no database at {database}")
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%fZ")
    path = folder / f"{database.stem}-{moment}{SUFFIX}"
    with TemporaryDirectory(prefix="backup-", dir=folder) as temporary:  # readable by us only, and gone in any case
        snapshot, sealed = Path(temporary, "snapshot.db"), Path(temporary, "sealed")
        # SQLite's own way to copy: right also while others write, which `cp` is not.
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(snapshot)) as target:
            source.backup(target)
        with sealed.open("wb") as file:
            process = _openssl("-salt", passphrase=passphrase, stdin=subprocess.PIPE, stdout=file)
            assert process.stdin is not None
            with process.stdin, gzip.GzipFile(fileobj=process.stdin, mode="wb") as packed, snapshot.open("rb") as plain:
                shutil.copyfileobj(plain, packed)
            if process.wait() != 0:
                raise ArchiveError("openssl could not encrypt")
            os.fsync(file.fileno())
        beside(path).write_text(_mac(sealed, passphrase) + "\n", encoding="ascii")
        sealed.rename(path)  # last: an archive with this name is whole
    return path


def restore(archive: Path, target: Path, passphrase: str) -> None:
    """Write the database of an archive to `target`, which must not exist; nothing is written unless all is well."""
    if target.exists():
        raise ArchiveError(f"{target} exists already, and is left as it is")
    if not archive.is_file() or not beside(archive).is_file():
        raise ArchiveError(f"{archive} or {beside(archive).name} beside it is missing")
    expected = beside(archive).read_text(encoding="ascii").strip()
    if not hmac.compare_digest(expected, _mac(archive, passphrase)):
        raise ArchiveError(f"{archive.name} is damaged, was changed, or has another passphrase")
    with TemporaryDirectory(prefix="restore-", dir=target.parent) as temporary:
        copy = Path(temporary, "restored.db")
        copy.touch(mode=0o600)  # who may read it besides is for its owner to say
        with archive.open("rb") as file:
            process = _openssl("-d", passphrase=passphrase, stdin=file, stdout=subprocess.PIPE)
            assert process.stdout is not None
            with process.stdout, gzip.GzipFile(fileobj=process.stdout) as packed, copy.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
            if process.wait() != 0:
                raise ArchiveError("openssl could not decrypt")
        with closing(sqlite3.connect(copy)) as connection:
            answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if answer != "ok":
            raise ArchiveError(f"the restored database is damaged: {answer}")
        os.link(copy, target)  # unlike a rename, this never replaces a file


def prune(folder: Path, name: str, keep: int) -> list[Path]:
    """Remove all archives of the database `name` but the newest `keep`, at least one, and return what was removed."""
    archives = sorted(folder.glob(f"{name}-????-??-??T??????.??????Z{SUFFIX}"))
    removed = archives[: -max(1, keep)]
    for path in removed:
        path.unlink()
        beside(path).unlink(missing_ok=True)
    return removed


def count_rows(database: Path) -> dict[str, int]:
    """Return how many rows each table has."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        tables = [
            row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        ]
        quoted = {table: '"' + table.replace('"', '""') + '"' for table in tables}
        return {table: connection.execute(f"SELECT count(*) FROM {quoted[table]}").fetchone()[0] for table in tables}


def beside(archive: Path) -> Path:
    """Return the path of the file with an archive's MAC."""
    return archive.with_name(archive.name + ".mac")


def _openssl(
    *arguments: str, passphrase: str, stdin: int | IO[bytes], stdout: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    environ = {"PATH": os.environ["PATH"], "PASSPHRASE": passphrase}
    return subprocess.Popen([*CIPHER, *arguments], stdin=stdin, stdout=stdout, env=environ)


def _mac(archive: Path, passphrase: str) -> str:
    with archive.open("rb") as file:
        salt = file.read(16)  # "Salted__" and the eight random bytes of this archive
        # "mac" makes it another key than openssl's, which is made from the same passphrase and salt.
        key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), b"mac" + salt, ITERATIONS)
        mac = hmac.new(key, salt, "sha256")
        while block := file.read(1 << 20):
            mac.update(block)
    return mac.hexdigest()
