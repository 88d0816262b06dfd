"""A merge policy from options: what settles conflicts, and at which places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from versioned_collection.cli.failures import UsageFailure
from versioned_collection.cli.lines import load

if TYPE_CHECKING:
    from versioned_collection import MergePolicy

_PLACE = 'A place is written with dots ("stats.*.count") or as a JSON array of names and indexes.'


def _repeated(name: str, metavar: str, text: str) -> Any:
    return Annotated[
        list[str] | None,
        typer.Option(name, metavar=metavar, help=f"{text} Repeatable.", show_default=False),
    ]


ByDefault = Annotated[
    str | None,
    typer.Option(
        "--resolver",
        metavar="NAME",
        help="What settles conflicts that no --resolve names: ours, theirs, union, max, min, "
        "latest or sum_of_changes.",
        show_default=False,
    ),
]
ByPlace = _repeated(
    "--resolve", "PLACE=RESOLVER", f"What settles conflicts at a place; the first fits. {_PLACE}"
)
Sets = _repeated("--set", "PLACE", "A list that is a set.")
ListKeys = _repeated(
    "--list-key", "PLACE=FIELD", "The field that tells the documents of a list apart."
)
Coupled = _repeated(
    "--couple", "PLACE,PLACE", "Fields that change together; changes on both sides conflict."
)
SameChange = _repeated(
    "--same-change", "PLACE", "A place where the same change on both sides is a conflict."
)


def policy_of(
    by_default: str | None = None,
    by_place: Sequence[str] | None = None,
    sets: Sequence[str] | None = None,
    list_keys: Sequence[str] | None = None,
    coupled: Sequence[str] | None = None,
    same_change: Sequence[str] | None = None,
) -> MergePolicy:
    """Return the policy that the options describe.

    Raises:
        UsageFailure: An option is not of its form.
        InvalidArgument: There is no such resolver, or a place is malformed.
    """
    from versioned_collection import MergePolicy

    return MergePolicy(
        dict(_pairs("--resolve", "stats.views=max", by_place)),
        default=by_default,
        list_keys=dict(_pairs("--list-key", "items=sku", list_keys)),
        sets=[place_of(text) for text in sets or ()],
        coupled=[_group(text) for text in coupled or ()],
        same_change_conflicts=[place_of(text) for text in same_change or ()],
    )


def _pairs(option: str, example: str, texts: Sequence[str] | None) -> Iterator[tuple[Any, str]]:
    for text in texts or ():
        place, equals, value = text.rpartition("=")
        if not (place and equals and value):
            raise UsageFailure(
                f"{option} takes a place and a name such as {example}, not {text!r}"
            )
        yield place_of(place), value


def _group(text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        return [_step_or_path(one) for one in _array(text)]
    return [place_of(one.strip()) for one in text.split(",")]


def place_of(text: str) -> Any:
    """Return the pattern that a text stands for.

    Raises:
        UsageFailure: It begins as a JSON array and is none.
    """
    return tuple(_array(text)) if text.lstrip().startswith("[") else text


def places_of(texts: Sequence[str] | None) -> list[Any] | None:
    """Return the patterns that texts stand for, None where there are none.

    Raises:
        UsageFailure: One begins as a JSON array and is none.
    """
    return [place_of(text) for text in texts] if texts else None


def _step_or_path(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _array(text: str) -> list[Any]:
    try:
        value = load(text)
    except ValueError as error:
        raise UsageFailure(f"{text!r} is no JSON array: {error}") from error
    if not isinstance(value, list):
        raise UsageFailure(f"{text!r} is no JSON array")
    return value
