"""Ending or freezing one's own process at a chosen database command."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from pymongo import monitoring

SMALL = {
    "SMALL_DOCUMENTS": 2,
    "BATCH": 2,
    "BYTES_ENTERING": 1,
    "IDS_PER_READ": 3,
    "OPERATIONS_PER_WRITE": 2,
    "PAGE": 3,
    "LEAST_VERSIONS": 2,
    "LONG_WAY": 2,
}
"""Limits under which a handful of documents takes the way of a large change."""


def shrink_limits(
    change: Callable[[ModuleType, str, int], None] = setattr, limits: Mapping[str, int] = SMALL
) -> None:
    """Send changes of more than two documents on the way of large ones, in this process."""
    for module in _package():
        for name, value in limits.items():
            if isinstance(getattr(module, name, None), int):
                change(module, name, value)


def _package() -> list[ModuleType]:
    return [
        module for name, module in sys.modules.items() if name.startswith("versioned_collection.")
    ]


READING = frozenset(
    (
        "buildInfo",
        "collStats",
        "count",
        "dbStats",
        "distinct",
        "explain",
        "find",
        "getMore",
        "hello",
        "killCursors",
        "listCollections",
        "listIndexes",
        "ping",
    )
)
"""Commands that change nothing; others may, an `aggregate` by where it ends."""

ASKS_FOR_LEASE = "findAndModify __vc_lock"


def writing(texts: Iterable[str]) -> list[str]:
    """Return those of the commands that a trap has seen that may change something."""
    return [text for text in texts if text.partition(" ")[0] not in READING]


class Trap(monitoring.CommandListener):
    """Counts commands once it is set, and strikes at one of them.

    Args:
        number: Strike at the command of this number, counted from 1; 0 never strikes.
        when: ``before`` the command is sent, or ``after`` the server has answered.
        strike: SIGKILL, or SIGSTOP to freeze until somebody sends SIGCONT.
        only: Count commands only whose name and target (``update __log_x``) hold this text.
        at_writes: Count only commands that may change something.
        leases: Count only commands behind so many leases that were asked for, as threads make
            it uncertain how many commands come before.
    """

    def __init__(
        self,
        number: int = 0,
        when: str = "after",
        strike: int = signal.SIGKILL,
        only: str = "",
        at_writes: bool = False,
        leases: int = 0,
    ) -> None:
        self.seen: list[str] = []
        self._number, self._when, self._strike, self._only = number, when, strike, only
        self._at_writes = at_writes
        self._leases = leases
        self._asking: set[int] = set()
        self._is_set = False
        self._begun = self._done = 0
        self._counted: set[int] = set()
        self._lock = threading.Lock()

    def set(self) -> None:
        """Begin to count."""
        self._is_set = True

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if not self._is_set:
            return
        with self._lock:
            text = f"{event.command_name} {event.command.get(event.command_name)}"
            if self._leases:
                if text == ASKS_FOR_LEASE:
                    self._asking.add(event.request_id)
                return
            if self._only not in text or (self._at_writes and not writing([text])):
                return
            self.seen.append(text)
            self._counted.add(event.request_id)
            self._begun += 1
            if self._when == "before" and self._begun == self._number:
                os.kill(os.getpid(), self._strike)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._over(event)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._over(event)

    def _over(self, event: Any) -> None:
        with self._lock:
            if event.request_id in self._asking:
                self._leases = max(self._leases - 1, 0)
            if event.request_id not in self._counted:
                return
            self._done += 1
            if self._when == "after" and self._done == self._number:
                os.kill(os.getpid(), self._strike)
