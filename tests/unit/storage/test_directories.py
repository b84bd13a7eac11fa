"""The storage directory is one daemon's, and the reason is the true one when it cannot be."""

from __future__ import annotations

import errno
import fcntl
import os

import pytest

from daq.core import StorageError
from daq.storage.files.directories import Directories


def test_a_second_daemon_is_kept_out_and_told_who_is_there(tmp_path):
    with Directories(tmp_path).locked():
        with pytest.raises(StorageError) as caught, Directories(tmp_path).locked():
            pass
        assert f"another daemon (process {os.getpid()})" in caught.value.message
    with Directories(tmp_path).locked():  # it goes with its owner
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_a_file_system_without_locks_is_not_another_daemon(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StorageError) as caught, Directories(tmp_path).locked():
        pass
    assert f"keeps no locks ({os.strerror(number)})" in caught.value.message
    assert "another daemon" not in caught.value.message
    assert "local disk" in caught.value.advice


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "daq.lock").symlink_to(precious)
    with pytest.raises(StorageError, match="symbolic link"), Directories(tmp_path).locked():
        pass
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("what", ["directory", "fifo"])
def test_a_lock_that_is_no_file_is_an_error_and_no_hang(tmp_path, what):
    path = tmp_path / "daq.lock"
    if what == "directory":
        path.mkdir()
        with pytest.raises(StorageError, match="cannot be used"), Directories(tmp_path).locked():
            pass
    else:
        os.mkfifo(path)
        with pytest.raises(StorageError), Directories(tmp_path).locked():
            pass


def test_a_second_name_for_another_file_is_not_written_to(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine and longer than a number")
    os.link(precious, tmp_path / "daq.lock")
    with pytest.raises(StorageError, match="not the daemon's own"), Directories(tmp_path).locked():
        pass
    assert precious.read_text() == "mine and longer than a number"
