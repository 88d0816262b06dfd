"""What a double answers where it does not do what was asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo import errors as driver

from versioned_collection.driver.server_errors import DUPLICATE_KEY, NOT_IN_DOUBLE

_log = logging.getLogger(__name__)

BAD_VALUE, FAILED_TO_PARSE, ILLEGAL_OPERATION = 2, 9, 20
INDEX_NOT_FOUND, NOT_IMPLEMENTED = 27, 238


class Refusal(Exception):
    """A command, or one statement of it, is refused as a server would.

    Attributes:
        code: The server's number for it.
        reason: Why.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    def reply(self) -> dict[str, Any]:
        """Return what is sent in the place of a reply."""
        return {"ok": 0.0, "code": self.code, "codeName": type(self).__name__, **self._reason()}

    def write_error(self, index: int) -> dict[str, Any]:
        """Return what is sent of one statement of many."""
        return {"index": index, "code": self.code, **self._reason()}

    def _reason(self) -> dict[str, Any]:
        return {"errmsg": self.reason}


class NotMocked(Refusal):
    """A server could do it, and the double cannot."""

    def __init__(self, reason: str) -> None:
        super().__init__(NOT_IMPLEMENTED, f"mongomock cannot do this: {reason}")

    def reply(self) -> dict[str, Any]:
        """Return what is sent in the place of a reply."""
        return {**super().reply(), "errorLabels": [NOT_IN_DOUBLE]}


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what mongomock raises into refusals."""
    try:
        yield
    except Refusal:
        raise
    except driver.DuplicateKeyError as error:
        raise Refusal(DUPLICATE_KEY, str(error)) from error
    except driver.OperationFailure as error:
        raise Refusal(error.code or BAD_VALUE, str(error)) from error
    except NotImplementedError as error:
        raise NotMocked(str(error).rstrip(".")) from error
    except Exception as error:  # assertions and whatever else its parts end with
        _log.debug("mongomock failed", exc_info=True)
        raise NotMocked(f"it fails with {type(error).__name__}: {error}") from error


def refuse_options(command: Mapping[str, Any]) -> None:
    """Refuse options that would be ignored, where a server does not ignore them.

    Raises:
        NotMocked: One is set.
    """
    for name, reason in _REFUSED.items():
        if command.get(name):
            raise NotMocked(f"{reason} ({name})")
    collation = command.get("collation")
    if collation and collation.get("locale") != "simple":
        raise NotMocked("it compares texts byte by byte, without collations")
    if "snapshot" in (command.get("readConcern") or {}).values():
        raise NotMocked("it has no snapshots")


_REFUSED = {
    "startTransaction": "it has no transactions",
    "txnNumber": "it has no transactions",
    "arrayFilters": "it has no array filters",
    "let": "it has no variables",
    "min": "it has no bounds on indexes",
    "max": "it has no bounds on indexes",
    "returnKey": "it has no keys of indexes to return",
    "showRecordId": "its documents have no record ids",
    "tailable": "it has no capped collections",
}
