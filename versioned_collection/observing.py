"""What a program's log is told about verbs: how long they took, or why they failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_log = logging.getLogger("versioned_collection.verbs")


@contextmanager
def observed(verb: str, namespace: str) -> Iterator[None]:
    """Log a verb when it is over, with ``verb``, ``namespace`` and ``seconds`` as fields.

    Args:
        verb: Its name.
        namespace: Database and collection.
    """
    begun = time.monotonic()

    def facts(**more: Any) -> dict[str, Any]:
        seconds = round(time.monotonic() - begun, 6)
        return {"verb": verb, "namespace": namespace, "seconds": seconds, **more}

    try:
        yield
    except Exception as error:
        code = getattr(error, "code", None)
        _log.info("%s of %s failed: %s", verb, namespace, error, extra=facts(error_code=code))
        raise
    done = facts()
    _log.info("%s of %s took %.3f s", verb, namespace, done["seconds"], extra=done)
