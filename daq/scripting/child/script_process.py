"""The whole life of one confined process: prepare, confine, then check or run one script."""

from __future__ import annotations

import faulthandler
import gc
import mmap
import os
import random
import socket
import sys
import warnings
from dataclasses import dataclass
from types import CodeType
from typing import Any, NoReturn

import numpy as np

from daq.core import (
    Diagnostic,
    Ending,
    OverloadError,
    ParameterError,
    ProgramEnd,
    ScriptCheck,
    require_small,
)
from daq.core.values import plain
from daq.scripting.child.confinement import ACTIVE, REQUIRED, confine
from daq.scripting.child.language import Language
from daq.scripting.child.library import module_names
from daq.scripting.child.link import Link
from daq.scripting.child.session import ScriptStop, Session
from daq.scripting.child.tracebacks import describe_error, error_line, error_title
from daq.scripting.codec import CodecError, pack
from daq.scripting.limits import how_to_raise
from daq.scripting.policy import CompiledScript, compile_script
from daq.scripting.protocol import encode_check, encode_end, encode_request, frame
from daq.scripting.shared_page import SharedPage
from daq.scripting.signals import DUMP_SIGNAL

__all__ = ["Descriptors", "Job", "live"]

_RESERVE_BYTES = 8 << 20
_MAX_RESULT_BYTES = 1 << 20
_MAX_RESULT_NUMBERS = 100_000
_RECURSION_LIMIT = 1000
_HARNESS_FAILED = 70


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is for."""

    kind: str
    """`probe`, `check` or `run`."""
    memory_mb: int
    numpy: bool
    allow_unconfined: bool
    scipy: bool = False
    """Whether it may be needed: it is loaded before the first process that needs it."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The descriptors that the process was given."""

    connection: socket.socket
    page: int
    trace: int


def live(job: Job, outfit: Descriptors, parent: int) -> NoReturn:
    """Do the job and exit. Called in the freshly forked process; never returns."""
    status = _HARNESS_FAILED
    try:
        _prepare(outfit)
        page = SharedPage(outfit.page)
        link = Link(outfit.connection)
        if job.kind == "run":
            session = Session(link, page, outfit.trace)
        layers = confine(job.memory_mb << 20, parent)
        if job.kind == "probe" or not (job.allow_unconfined or _is_confined(layers)):
            link.send(frame(["confined", layers]))
        elif job.kind == "check":
            _check(link, job)
        else:
            _Runner(link, page, session, job).run()
        status = 0
    finally:
        os._exit(status)


def _prepare(outfit: Descriptors) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    _close_all_but({0, 1, 2, outfit.connection.fileno(), outfit.page, outfit.trace})
    # A C-level handler: exact also inside of a long C call, and after a crash.
    faulthandler.enable(outfit.trace, all_threads=False)
    faulthandler.register(DUMP_SIGNAL, outfit.trace, all_threads=False)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    random.seed()  # else every script would draw the zygote's numbers
    np.random.seed()
    gc.enable()


def _close_all_but(kept: set[int]) -> None:
    first = 0
    for descriptor in [*sorted(kept), os.sysconf("SC_OPEN_MAX")]:
        if descriptor > first:  # closerange(0, 0) would close all that there are
            os.closerange(first, descriptor)
        first = descriptor + 1


def _is_confined(layers: dict[str, str]) -> bool:
    return all(layers[name] == ACTIVE for name in REQUIRED)


def _check(link: Link, job: Job) -> None:
    source = link.receive()
    link.send(encode_check(compile_script(source, module_names(numpy=job.numpy)).check))


class _Runner:
    """Runs one script to its end and reports it."""

    def __init__(self, link: Link, page: SharedPage, session: Session, job: Job) -> None:
        self._link = link
        self._page = page
        self._session = session
        self._memory_mb = job.memory_mb
        self._language = Language(session, page, numpy=job.numpy)
        self._reserve = mmap.mmap(-1, _RESERVE_BYTES)

    def run(self) -> None:
        """Receive the script, run it, send its end."""
        source, filename, parameters = self._link.receive()
        script = compile_script(source, self._language.modules)
        if script.code is None:
            self._end(_refused(script.check, filename))
            return
        try:
            end = self._completed(self._execute(script, script.code, parameters))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is how the script ended
            self._reserve.close()  # room to report what an exhausted memory has ended
            end = self._ended(error, filename, source)
        self._end(end)

    def _execute(self, script: CompiledScript, code: CodeType, parameters: dict[str, Any]) -> Any:
        namespace = self._session.globals
        self._language.fill(namespace)
        self._language.tracker.begin(script.segments)
        warnings.showwarning = self._show_warning
        self._session.check_for_stop()
        exec(code, namespace)  # noqa: S102 - that is the purpose
        return namespace["main"](**parameters) if script.has_main else None

    def _show_warning(self, message: Warning | str, *_: Any, **__: Any) -> None:
        self._language.output.log(message, "warning")

    def _completed(self, result: Any) -> ProgramEnd:
        kept, refused = _kept(result)
        if refused:
            self._language.output.log(refused, "warning")
        return ProgramEnd(Ending.COMPLETED, line=self._page.line, result=kept, refused=refused)

    def _ended(self, error: BaseException, filename: str, source: str) -> ProgramEnd:
        line = error_line(error) or self._page.line
        if isinstance(error, ScriptStop):
            return ProgramEnd(Ending.STOPPED, line=line)
        title = error_title(error)
        limit = self._limit_behind(error)
        if limit:
            title = f"{title}; {limit}" if ":" in title else f"{title}: {limit}"
        text = describe_error(error, filename, source, title if limit else "")
        if self._session.stopping:
            return ProgramEnd(Ending.STOPPED, f"its cleanup failed: {title}", text, line)
        return ProgramEnd(Ending.FAILED, title, text, line)

    def _limit_behind(self, error: BaseException) -> str:
        """Which limit of the sandbox an error comes from, for people."""
        if isinstance(error, MemoryError):
            needs = f"the script needs more than its {self._memory_mb} MB of memory (memory_mb)"
            return f"{needs}; {how_to_raise('memory_mb')}"
        if isinstance(error, RecursionError):
            return f"functions may be nested {_RECURSION_LIMIT} deep"
        return ""

    def _end(self, end: ProgramEnd) -> None:
        rest = self._language.output.rest()
        if rest is not None:
            self._link.send(encode_request(0, self._session.stopping, rest))
        self._link.send(encode_end(end))


def _refused(check: ScriptCheck, filename: str) -> ProgramEnd:
    first: Diagnostic = check.diagnostics[0]
    text = "\n".join(diagnostic.render(filename) for diagnostic in check.diagnostics)
    return ProgramEnd(Ending.FAILED, f"{first.code}: {first.message}", text, first.line)


def _kept(result: Any) -> tuple[Any, str]:
    """What `main` returned, and why it cannot be kept, in words, if it cannot."""
    try:
        known = plain(result, "the result of main")
        size = len(pack(known))
        most = _MAX_RESULT_NUMBERS
        require_small(
            known, "the result of main", items=most, characters=size, depth=64, numbers=most
        )
    except (ParameterError, OverloadError) as error:
        return None, error.message
    except CodecError as error:
        return None, f"the result of main: {error}"
    except (RecursionError, MemoryError):
        size = sys.maxsize
    if size > _MAX_RESULT_BYTES:
        return None, (
            f"the result of main is larger than {_MAX_RESULT_BYTES >> 10} KiB and cannot be kept; "
            "record() what is large"
        )
    return known, ""
