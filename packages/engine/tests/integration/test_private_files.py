"""Files that `export` writes: private, whole, never over another one, on file systems without hard links too."""

import errno
import os
import stat

import pytest

from autokestra.cli.transfer import write_private
from autokestra_secrets import ConflictError


@pytest.fixture(params=["links", errno.EPERM, errno.EOPNOTSUPP], ids=str)
def links(request, monkeypatch):
    """Hard links as they are here, or refused as other file systems do: none such can be mounted everywhere."""

    def link(*_, **__):
        raise OSError(request.param, os.strerror(request.param))

    if request.param != "links":
        monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("links")
def test_a_file_is_private_and_no_other_is_overwritten_but_by_force(tmp_path):
    path = str(tmp_path / "values.env")
    write_private(path, b"A=1\n", force=False)
    assert 0o600 == stat.S_IMODE(os.stat(path).st_mode)
    with pytest.raises(ConflictError, match="there is a file at"):
        write_private(path, b"A=2\n", force=False)
    assert b"A=1\n" == (tmp_path / "values.env").read_bytes()
    write_private(path, b"A=3\n", force=True)
    (tmp_path / "folder").mkdir()
    for place in ("folder", "no/such", "values.env/x"):
        for force in (False, True):
            with pytest.raises(OSError, match=r"directory: .*/" + place) as caught:
                write_private(f"{tmp_path}/{place}", b"A=4\n", force=force)
            assert f"{tmp_path}/{place}" == caught.value.filename
    (tmp_path / "folder").rmdir()
    assert (b"A=3\n", ["values.env"]) == ((tmp_path / "values.env").read_bytes(), os.listdir(tmp_path))
