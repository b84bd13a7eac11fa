"""What a script prints and logs, cut to size."""

from __future__ import annotations

from daq.core import Log, OverloadError
from daq.core.values import to_json
from daq.scripting.child.session import Session

__all__ = ["LEVELS", "Output"]

LEVELS = ("debug", "info", "warning", "error", "result")
_MAX_TEXT = 16 << 10


class Output:
    """`print` and `log`. A text without a line's end waits for the rest of its line."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._begun = ""
        self._line = 0

    def print(
        self, *values: object, sep: str | None = " ", end: str | None = "\n", flush: bool = False
    ) -> None:
        """As in Python, without `file`."""
        joined = (" " if sep is None else sep).join(map(str, values))
        text = self._begun + joined + ("\n" if end is None else end)
        self._begun = ""
        if text.endswith("\n"):
            self._send(text[:-1], "output")
        elif flush or len(text) > _MAX_TEXT:
            self._send(text, "output")
        else:
            self._begun = text
            self._line = self._session.line()
            self._session.checkpoint_here()

    def log(self, message: object, level: str = "info") -> None:
        """Say something beside the script's output: `debug`, `info`, `warning` or `error`.

        `result` hands a value to whoever started the script, as JSON with tags.
        """
        if level not in LEVELS:
            raise ValueError(f"level is one of {', '.join(LEVELS)}, not {level!r}")
        if level == "result" and not isinstance(message, str):
            message = to_json(message)
            if len(message) > _MAX_TEXT:
                raise OverloadError(
                    f"a value that is handed out has at most {_MAX_TEXT} characters as JSON; "
                    "record() it"
                )
        self._send(str(message), level)

    def rest(self) -> Log | None:
        """What has no line's end yet, at the end of the script."""
        return Log(_sized(self._begun), line=self._line) if self._begun else None

    def _send(self, text: str, level: str) -> None:
        self._session.tell(Log(_sized(text), level, self._session.line()))


def _sized(text: str) -> str:
    if len(text) > _MAX_TEXT:
        text = f"{text[:_MAX_TEXT]} ... ({len(text) - _MAX_TEXT} more characters)"
    return text.encode(errors="replace").decode()
