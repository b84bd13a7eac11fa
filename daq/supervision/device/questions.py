"""Asking a driver: what it raises made into ours, and wrong answers asked for again."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from daq.core import DaqError, DeviceError, OfflineError
from daq.supervision.device.status import DeviceStatus

__all__ = ["ask", "is_wrong_answer", "own_error", "text_of"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_S = (0.02, 0.05, 0.11)
"""How long is waited before a question is asked again whose answer was wrong: noise passes."""
MOST_TEXT = 2000
"""Characters of an error that somebody else worded."""

_BROKEN = (
    OSError,  # serial ports, sockets, and TimeoutError too
    EOFError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.EndOfChannel,
    trio.TooSlowError,
)
"""What a silent instrument or a broken line is, in whatever a driver is built on."""


async def ask(status: DeviceStatus, what: str, question: Callable[[], Awaitable[T]]) -> T:
    """Ask what changes nothing. An answer that is wrong is asked for again, then counted.

    Raises DeviceError for an answer that stays wrong, OfflineError for silence, and whatever else
    the driver says on purpose.
    """
    for pause in (*AGAIN_S, None):
        try:
            return await question()
        except BaseException as raised:
            error = own_error(raised, status.id, what)
            if error is None:
                raise
            if pause is None or not is_wrong_answer(error):
                if is_wrong_answer(error):
                    status.count_failed_question(error.message)
                raise error from (None if error is raised else raised)
        await trio.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def is_wrong_answer(error: BaseException) -> bool:
    """An answer came and cannot be used; silence, limits and our own refusals are others."""
    return isinstance(error, DeviceError) and error.kind == DeviceError.kind


def own_error(raised: BaseException, device_id: str, what: str) -> DaqError | None:
    """What a driver raised as one of our errors, bounded; None for a cancellation."""
    while isinstance(raised, BaseExceptionGroup) and len(raised.exceptions) == 1:
        raised = raised.exceptions[0]  # out of a driver's own nursery
    if isinstance(raised, trio.Cancelled):
        return None
    if isinstance(raised, BaseExceptionGroup):
        cancelled, others = raised.split(trio.Cancelled)
        if cancelled is not None:
            return None if others is None else own_error(others, device_id, what)
    said = text_of(raised)
    if isinstance(raised, DaqError):
        whole = len(said) < MOST_TEXT and hasattr(raised, "message")
        return raised if whole else type(raised)(said)
    told = f"{type(raised).__name__}: {said}" if said else type(raised).__name__
    if isinstance(raised, _BROKEN):
        return OfflineError(f"{device_id}: {what}: the line is broken: {told}")
    text = f"{device_id}: {what}: the driver failed: {told}"
    logger.error("%s", text, exc_info=raised)
    return DeviceError(text, advice="a defect of the driver; its traceback is logged")


def text_of(error: BaseException) -> str:
    """What an error says, bounded; also of one that cannot say it."""
    try:
        text = str(error)
    except BaseException as another:  # noqa: BLE001 - a foreign `__str__` may raise anything
        return f"(its text could not be made: {type(another).__name__})"
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}... ({len(text)} characters)"
