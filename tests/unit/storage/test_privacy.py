"""What the daemon writes is its user's, or a group's where one is configured."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

import pytest

from daq.config import parse_config
from daq.core import ConfigurationError, StorageError
from daq.storage import keep_private


def configured(directory: Path, group: str = ""):
    given = f'group = "{group}"\n' if group else ""
    text = f'[storage]\ndirectory = "{directory}"\n{given}'
    return parse_config(text, directory.parent / "lab.toml").storage


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def our_group() -> str:
    return grp.getgrgid(os.getgid()).gr_name


def test_the_directory_is_made_for_its_user_alone(tmp_path):
    keep_private(configured(tmp_path / "a" / "data"))
    assert mode(tmp_path / "a" / "data") == 0o700


def test_one_that_others_could_read_is_closed_and_that_is_said(tmp_path, caplog):
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    path.chmod(0o755)
    caplog.set_level("INFO")
    keep_private(configured(path))
    assert mode(path) == 0o700
    assert f"{path} is closed to other users" in caplog.text
    caplog.clear()
    keep_private(configured(path))
    assert caplog.text == ""


def test_a_group_may_read_and_what_is_made_in_it_is_the_groups(tmp_path):
    path = tmp_path / "data"
    keep_private(configured(path, our_group()))
    assert mode(path) == 0o2750
    assert path.stat().st_gid == os.getgid()
    (path / "inside").mkdir()
    assert (path / "inside").stat().st_gid == os.getgid()


def test_a_directory_of_many_is_left_as_it_is(tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    keep_private(configured(shared))
    assert mode(shared) == 0o1777
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    monkeypatch.setattr(Path, "home", lambda: home)
    keep_private(configured(home))
    assert mode(home) == 0o755


def test_a_group_that_is_not_there_is_an_error_of_the_configuration(tmp_path):
    with pytest.raises(ConfigurationError, match="no group 'no-such-group'") as caught:
        keep_private(configured(tmp_path / "data", "no-such-group"))
    assert caught.value.message.startswith("storage.group: ")


def test_a_group_of_others_is_told_with_the_command_that_helps(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(ConfigurationError, match="no member of the group") as caught:
        keep_private(configured(tmp_path / "data", our_group()))
    assert f"usermod -a -G {our_group()}" in caught.value.advice


def test_a_directory_that_cannot_be_made_is_an_error_of_the_storage(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be used as the storage directory"):
        keep_private(configured(tmp_path / "file" / "data"))
