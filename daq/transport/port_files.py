"""What the name of a serial port stands for, and what is wrong with one that does not open."""

from __future__ import annotations

import errno
import getpass
import grp
import os
import re
import stat
from pathlib import Path

from daq.transport.settings import PortSettings

__all__ = ["device_number", "failure_to_open", "find_holders"]

_ADVICE = {
    errno.EINVAL: "it cannot be set up like this: baud rate, data bits, parity, stop bits",
    errno.ECONNREFUSED: "nothing listens there: is the serial server or the instrument on?",
    errno.EHOSTUNREACH: "is the serial server or the instrument on, and in this network?",
    errno.ENETUNREACH: "is the serial server or the instrument on, and in this network?",
}
_PLUGGED = "is the instrument plugged in and switched on? `python -m daq discover` lists the ports"
_NO_PORT = "give a serial port, best by its name in /dev/serial/by-id"
_GROUP_MAY = stat.S_IRGRP | stat.S_IWGRP
_SERIAL_RESOURCE = re.compile(r"ASRL(?P<path>/.+?)(::INSTR)?", re.IGNORECASE)
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFREG: "a file",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a disk",
}


def device_number(settings: PortSettings) -> int | None:
    """What tells a serial port whatever name it goes by; None when it is none, or not there."""
    path = _path(settings)
    return None if path is None else _number(path)


def failure_to_open(settings: PortSettings, error: OSError) -> tuple[str, str]:
    """Why a port did not open, and what helps.

    pyserial keeps the number of an error and words the rest at length; the numbers of a host that
    cannot be found are below 0 and not the system's.
    """
    path = None if settings.tcp is not None else _path(settings)
    if path is not None and (told := _unfit(path, error)):
        return told
    number = error.errno or 0
    what = os.strerror(number) if number > 0 else error.strerror or str(error)
    if number == errno.EINVAL and error.strerror not in (None, what):
        what = f"{what}: {error.strerror}"  # our own words say which
    if number < 0:
        return what, "is the name spelt as it is known here?"
    return what, _ADVICE.get(number, "")


def _unfit(path: Path, error: OSError) -> tuple[str, str] | None:
    """What the file itself tells."""
    try:
        found = path.stat()
    except FileNotFoundError:
        to = f": it is a link to {path.readlink()}" if path.is_symlink() else ""
        return f"{os.strerror(errno.ENOENT)}{to}", _PLUGGED
    except (OSError, ValueError):
        return None
    if kind := _KINDS.get(stat.S_IFMT(found.st_mode)):
        return f"it is {kind}, not a serial port", _NO_PORT
    if _is_no_terminal(error):
        return "it is not a serial port", _NO_PORT
    if error.errno in (errno.EACCES, errno.EPERM):
        return _forbidden(found)
    return None


def _forbidden(found: os.stat_result) -> tuple[str, str]:
    user, group = getpass.getuser(), _group(found.st_gid)
    what = f"the daemon's user, {user}, may not use it"
    if found.st_mode & _GROUP_MAY != _GROUP_MAY:
        return what, "most often the group dialout may: a rule of udev gives a port to it"
    how = f"`sudo usermod -aG {group} {user}`, then log in again"
    return f"{what}; its group, {group}, may", f"add {user} to the group {group}: {how}"


def _is_no_terminal(error: BaseException | None) -> bool:
    """Whether what pyserial was told, before it worded its own error, says so."""
    while error is not None:
        if error.args and error.args[0] == errno.ENOTTY:
            return True
        error = error.__context__
    return False


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def find_holders(settings: PortSettings) -> str:
    """Which processes have a serial port open, as far as this user may see: `minicom (1234)`.

    Blocks for a moment.
    """
    wanted = device_number(settings)
    if wanted is None:
        return ""
    others = (p for p in Path("/proc").glob("[0-9]*") if p.name != str(os.getpid()))
    found = [process for process in others if _has_open(process, wanted)]
    return ", ".join(f"{_name(process)} (process {process.name})" for process in found)


def _has_open(process: Path, wanted: int) -> bool:
    try:
        return any(_number(file) == wanted for file in (process / "fd").iterdir())
    except OSError:
        return False


def _number(file: Path) -> int | None:
    try:
        found = file.stat()  # in /dev or /proc, so it blocks nobody
    except (OSError, ValueError):
        return None
    return found.st_rdev if stat.S_ISCHR(found.st_mode) else None


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"


def _path(settings: PortSettings) -> Path | None:
    """The device file, also of a VISA resource that is one."""
    if settings.is_visa:
        match = _SERIAL_RESOURCE.fullmatch(settings.address)
        return Path(match["path"]) if match else None
    return Path(settings.address)
