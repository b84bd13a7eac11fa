"""The guard at its post: carries out the instruments' last wills when the daemon dies or hangs.

It shares nothing with the daemon but one socket, which is its standard input. On it come lines of
JSON:

    {"arm": {...}}      what to do, where to write it down, after how long a silence
    {"beat": n}         the daemon lives
    {"bye": true}       the daemon ends, with everything safe

The end of the socket without a goodbye, or a silence, lets it act. It answers with `{"armed": n}`,
and with `{"alive": n}` to each beat; when it has acted, and somebody still listens, with
`{"acted": PATH}`, or with the report itself where that could not be written down.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .daemon import Daemon
from .keeping import forget, keep, write_report
from .line import Json
from .silence import TICK_S, Silence
from .wills import act


class Watch:
    """Listens to the daemon, and acts when it hangs or ends without a word.

    Args:
        link: The socket.
        meet: How the daemon of such orders is found, and whether it has spoken meanwhile.
        perform: What acting is; returns the report.
        clock: In seconds.
    """

    def __init__(
        self,
        link: socket.socket,
        meet: Callable[[Json, Callable[[], bool]], Daemon] = Daemon,
        perform: Callable[[Json, str, Daemon], Json] = act,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link = link
        self._meet = meet
        self._perform = perform
        self._clock = clock
        self._buffer = b""
        self._orders: Json | None = None
        self._silence = Silence()
        self._acted = False

    def run(self) -> None:
        """Until the daemon has said goodbye, or is gone."""
        looked = self._clock()
        while True:
            ready, _, _ = select.select([self._link], [], [], TICK_S)
            if ready:
                if not self._listen():
                    return
            elif self._orders is not None and not self._judge(self._orders, self._clock() - looked):
                return
            looked = self._clock()

    def _listen(self) -> bool:
        """Take in what the daemon says; False when there is nothing more to do."""
        try:
            data = self._link.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._intervene("the daemon died")
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return all(self._take(json.loads(line)) for line in lines)

    def _take(self, message: Json) -> bool:
        self._silence.end()
        self._acted = False  # what comes now is another silence
        if "arm" in message:
            self._arm(message["arm"])
        if "beat" in message:
            self._say({"alive": message["beat"]})
        if "bye" in message and self._orders is not None:
            with suppress(OSError):  # the next start would do once more what is done
                forget(Path(self._orders["directory"]))
        return "bye" not in message

    def _arm(self, orders: Json) -> None:
        self._orders = orders
        answer: Json = {"armed": len(orders["wills"])}
        try:
            keep(orders)
        except OSError as error:  # it is armed all the same
            answer["not_kept"] = str(error)
        self._say(answer)

    def _judge(self, orders: Json, elapsed_s: float) -> bool:
        """Another tick without a word; False when there is nothing more to do."""
        daemon = self._meet(orders, self._has_spoken)
        try:
            self._silence.add(elapsed_s, daemon.look())
        except OSError:
            # Its end of the socket may be open in a child of its that lives on.
            self._intervene("the daemon died")
            return False
        if why := self._silence.verdict(orders):
            self._intervene(why)
        return True

    def _intervene(self, reason: str) -> None:
        if self._orders is None or self._acted:
            return
        self._acted = True
        daemon = self._meet(self._orders, self._has_spoken)
        report = self._perform(self._orders, reason, daemon)
        try:
            path = write_report(self._orders, report)
            forget(Path(self._orders["directory"]))
        except OSError as error:
            # The next start carries the last wills out again, for want of a word about it.
            frameless = [will | {"frames": []} for will in report["wills"]]
            self._say({"acted": str(error), "report": report | {"wills": frameless}})
        else:
            self._say({"acted": str(path)})

    def _has_spoken(self) -> bool:
        """Whether something came from the daemon that nobody has read yet."""
        return bool(select.select([self._link], [], [], 0)[0])

    def _say(self, message: Mapping[str, Any]) -> None:
        with suppress(OSError):  # nobody listens any more: it is written down
            self._link.send(json.dumps(message).encode() + b"\n", socket.MSG_DONTWAIT)


def main(lock: str) -> None:
    """Watch the daemon at the other end of standard input."""
    # What ends the daemon often goes to all of its children too: the guard outlives it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with Path(lock).open("a+", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # the next daemon waits until this guard has finished
        held.truncate(0)  # not before: it says who holds the lock
        held.write(str(os.getpid()))
        held.flush()
        Watch(socket.socket(fileno=0)).run()
