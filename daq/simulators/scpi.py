"""An instrument that speaks SCPI: settings that are set and asked, answers, a queue of errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from daq.simulators.instrument import Clock, LineInstrument

__all__ = ["ScpiInstrument"]

_NO_ERROR = '+0,"No error"'
_UNDEFINED = '-113,"Undefined header"'


class ScpiInstrument(LineInstrument):
    """Knows its identity, settings, and computed answers; what it does not know is an error.

    Args:
        clock: Its time.
        identity: What `*IDN?` is answered with.
        settings: What is set by `NAME value` and asked by `NAME?`, with what it is at the begin.
        answers: By the whole question; each is given the settings.
        end: After each reply.
    """

    def __init__(
        self,
        clock: Clock,
        identity: str,
        settings: dict[str, str],
        answers: Mapping[str, Callable[[dict[str, str]], str]] | None = None,
        end: bytes = b"\n",
    ) -> None:
        super().__init__(clock)
        self.end = end
        self.settings = settings
        self.errors: list[str] = []
        """What `SYST:ERR?` tells, the oldest first."""
        self._identity = identity
        self._answers = answers or {}

    @property
    def name(self) -> str:
        return self._identity

    def command(self, text: str) -> None:
        if text in self._answers:
            self.reply(self._answers[text](self.settings))
        elif text == "*IDN?":
            self.reply(self._identity)
        elif text.lstrip(":") == "SYST:ERR?":
            self.reply(self.errors.pop(0) if self.errors else _NO_ERROR)
        elif text == "*CLS":
            self.errors.clear()
        elif text.endswith("?") and text[:-1] in self.settings:
            self.reply(self.settings[text[:-1]])
        else:
            self._set(text)

    def _set(self, text: str) -> None:
        for key in sorted(self.settings, key=len, reverse=True):
            if text.startswith(key + " "):
                self.settings[key] = text[len(key) + 1 :]
                return
        self.errors.append(_UNDEFINED)
