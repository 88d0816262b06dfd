"""What a query is made of: the operators and stages in it, as told from values that look so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_LOGICAL = frozenset(("$and", "$or", "$nor"))
_WITH_A_PIPELINE = frozenset(("$lookup", "$unionWith"))


def operators(filter_: Mapping[str, Any]) -> Iterator[str]:
    """Iterate over the operators of a filter."""
    for name, value in filter_.items():
        if not name.startswith("$"):
            yield from _of_condition(value)
            continue
        yield name
        if name in _LOGICAL:
            for one in _mappings(value):
                yield from operators(one)


def _of_condition(condition: Any) -> Iterator[str]:
    """Iterate over the operators of what a filter asks of a field."""
    if not isinstance(condition, Mapping) or not next(iter(condition), "").startswith("$"):
        return  # a value
    for name, value in condition.items():
        yield name
        if name == "$not":
            yield from _of_condition(value)
        elif name == "$all":
            for one in _mappings(value):
                yield from _of_condition(one)
        elif name == "$elemMatch" and isinstance(value, Mapping):
            yield from operators(value)


def stages(pipeline: Any) -> Iterator[str]:
    """Iterate over the names of the stages of a pipeline, also of those within others."""
    for stage in _mappings(pipeline):
        for name, value in stage.items():
            yield name
            if not isinstance(value, Mapping):
                continue
            if name == "$facet":
                for inner in value.values():
                    yield from stages(inner)
            elif name in _WITH_A_PIPELINE:
                yield from stages(value.get("pipeline"))


def _mappings(values: Any) -> Iterable[Mapping[str, Any]]:
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []
