"""A script under way in the daemon, as whoever started it sees it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from daq import core
from daq.client.blocking.blocking_stream import BlockingStream
from daq.client.blocking.call import FOREVER_S
from daq.client.blocking.portal import Portal
from daq.client.calls.async_client import AsyncClient
from daq.client.calls.models import ExecutionUpdate
from daq.client.sending.literals import handed_out
from daq.client.showing.display import DisplayFactory
from daq.client.showing.html import execution_html
from daq.core import (
    CommunicationError,
    DaqError,
    ExecutionState,
    ExecutionView,
    ParameterError,
    ScriptError,
    StopReport,
)

__all__ = ["Execution", "begin"]

WATCH_RATE_HZ = 10.0
START_S = 15.0

Relocate = Callable[[str], str]


def begin(
    portal: Portal,
    source: str,
    name: str,
    parameters: Mapping[str, Any] | None = None,
    relocate: Relocate | None = None,
) -> Execution:
    """Upload a script and start it; Ctrl-C meanwhile does not leave it running behind one's back.

    Returns:
        The execution.

    Raises:
        ScriptSyntaxError: It is refused: every violation.
        KeyboardInterrupt: Ctrl-C was pressed; what had started is stopped.
    """
    places = relocate or _as_is

    async def start(client: AsyncClient) -> str:
        await client.require("watch", "WatchExecution")  # else it would run unseen
        script = await client.scripts.upload(source, name=name, metadata={"sent by": "client"})
        return await client.scripts.start(script.id, parameters)

    call = portal.start(start)
    try:
        return Execution(portal, call.future.result(FOREVER_S), name, places)
    except KeyboardInterrupt:
        Execution(portal, call.future.result(START_S), name, places).stop(reason="Ctrl-C")
        raise
    except core.ScriptSyntaxError as error:
        raise core.ScriptSyntaxError(places(error.message), advice=error.advice) from None


class Execution:
    """An execution: watch it, wait for it, stop it, take what it returns.

    Iterating gives the values that it hands out, as they come. Ctrl-C while waiting stops it
    gracefully, so that its cleanup runs; a second Ctrl-C by force.
    """

    def __init__(
        self, portal: Portal, execution_id: str, name: str, relocate: Relocate | None = None
    ) -> None:
        self.id = execution_id
        self.name = name
        self.portal = portal
        """The way to the asynchronous client, for streams and calls that go on meanwhile."""
        self._relocate = relocate or _as_is
        self._end: ExecutionView | None = None

    def __repr__(self) -> str:
        state = self._end.record.state if self._end else "under way"
        return f"<Execution {self.id[:8]} {self.name!r} {state}>"

    def _repr_html_(self) -> str:
        return execution_html(self.view)

    @property
    def view(self) -> ExecutionView:
        """How it is now: state, line, progress."""
        if self._end is not None:
            return self._end
        view = self.portal.call(lambda client: client.scripts.status(self.id))
        if view.record.state.is_final:
            self._end = view
        return view

    @property
    def done(self) -> bool:
        """Whether it has ended, however it did."""
        return self.view.record.state.is_final

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs that it recorded so far."""
        return self.view.record.run_ids

    def stop(
        self, *, force: bool = False, grace_s: float | None = None, reason: str = ""
    ) -> StopReport:
        """Stop it; returns when that is verified, with what became of each device."""
        return self.portal.call(
            lambda client: client.scripts.stop(self.id, force=force, grace_s=grace_s, reason=reason)
        )

    def pause(self) -> None:
        """Pause it at its next checkpoint."""
        self.portal.call(lambda client: client.scripts.pause(self.id))

    def resume(self) -> None:
        """Let it go on."""
        self.portal.call(lambda client: client.scripts.resume(self.id))

    def watch(self) -> BlockingStream[ExecutionUpdate]:
        """What `updates` gives, as a stream that another thread may close."""
        return self.portal.stream(
            lambda client: client.scripts.watch(self.id, max_rate_hz=WATCH_RATE_HZ)
        )

    def updates(self) -> Iterator[ExecutionUpdate]:
        """State, line, progress and output as they change, until it ends."""
        with self.watch() as stream:
            for update in stream:
                if update.view.record.state.is_final:
                    self._end = update.view
                yield update

    def wait(self, display: DisplayFactory | None = None) -> ExecutionView:
        """Wait until it has ended, however it did, showing it meanwhile."""
        with self._shown(display) as show:
            try:
                for update in self.updates():
                    show(update)
            except KeyboardInterrupt:
                self._interrupted()
                raise
        if self._end is None:
            raise CommunicationError(f"the daemon ended the watch of {self.id} before its end")
        return self._end

    def result(self, display: DisplayFactory | None = None) -> Any:
        """Wait for the end and return what `main` returned.

        Returns:
            What came back as it was sent: numbers, texts, lists, dicts, arrays, ...

        Raises:
            ParameterError: The result could not be kept.
            DaqError: What went wrong, as the class that was raised there where `daq` knows it.
        """
        view = self.wait(display)
        self.raise_for_end()
        if view.result_refused:
            raise ParameterError(view.result_refused)
        if view.result is None:
            # An older daemon does not say what it was, and None would be a lie.
            self.portal.call(lambda client: client.require("results", "what `main` returned"))
        return view.result

    def values(self, display: DisplayFactory | None = None) -> Iterator[Any]:
        """The values that it hands out, as they come; leaving the iteration stops it."""
        with self._shown(display) as show:
            try:
                for update in self.updates():
                    show(update)
                    for line in update.output:
                        if line.level == "result":
                            yield handed_out(line.text)
            except KeyboardInterrupt:
                self._interrupted()
                raise
            except GeneratorExit:
                self.stop(reason="its values are not wanted any more")
                raise
        self.raise_for_end()

    def __iter__(self) -> Iterator[Any]:
        return self.values()

    @contextmanager
    def _shown(
        self, display: DisplayFactory | None
    ) -> Iterator[Callable[[ExecutionUpdate], object]]:
        """How to show an update. A stop belongs inside, so that what became of it is shown too."""
        if display is None:
            yield lambda _: None
        else:
            with display(self.name) as shown:
                # One that raises must not leave the script running behind one's back.
                yield lambda update: self.portal.tell(shown.update, update)

    def _interrupted(self) -> None:
        print(f"stopping {self.name}; Ctrl-C again stops it by force", file=sys.stderr)
        try:
            try:
                self.stop(reason="Ctrl-C")
            except KeyboardInterrupt:
                print(f"stopping {self.name} by force", file=sys.stderr)
                self.stop(force=True, reason="Ctrl-C, twice")
        except DaqError as error:
            print(f"{self.name} could not be stopped: {error}", file=sys.stderr)

    def raise_for_end(self) -> None:
        """Raise what went wrong, if anything did."""
        view = self._end
        if view is None or view.record.state is ExecutionState.COMPLETED:
            return
        record = view.record
        advice = ""
        if record.run_ids:
            advice = f"what was recorded until then is in bench.runs[{record.run_ids[-1][:8]!r}]"
        kind, _, message = record.message.partition(": ")
        raised = getattr(core, kind, None) if kind.endswith("Error") else None
        if not (isinstance(raised, type) and issubclass(raised, DaqError)):
            raised, message = ScriptError, record.message
        if record.state is not ExecutionState.ERROR:
            message = f"{self.name} was {record.state.value.lower()}: {record.message}"
        error = raised(message, advice=advice)
        if record.traceback:
            error.add_note(self._relocate(record.traceback).rstrip())
        raise error


def _as_is(text: str) -> str:
    return text
