"""Exact arithmetic and comparison of BSON's four types of numbers."""

from __future__ import annotations

import math
import struct
from decimal import Context, Decimal, DecimalException
from fractions import Fraction
from typing import Final

from bson.decimal128 import Decimal128

from versioned_collection.core.merging.values import Value

DOUBLE, INT32, INT64, DECIMAL = 0x01, 0x10, 0x12, 0x13

_WIDTHS: Final = {INT32: 0, INT64: 1, DOUBLE: 2, DECIMAL: 3}

Number = int | float | Decimal

_EXACT = Context(prec=13_000, Emin=-20_000, Emax=20_000)
"""Enough digits to add any two Decimal128 without rounding."""

_STORED = Context(prec=34, Emin=-6143, Emax=6144, clamp=1)


def number_of(value: Value | None) -> Number | None:
    """Return a number as Python computes with it; None for what is no finite number."""
    if value is None or value[0] not in _WIDTHS:
        return None
    if value[0] == DECIMAL:
        return _finite(Decimal128.from_bid(value[1:]))
    if value[0] == DOUBLE:
        double: float = struct.unpack("<d", value[1:])[0]
        return double if math.isfinite(double) else None
    return int.from_bytes(value[1:], "little", signed=True)


def _finite(stored: Decimal128) -> Decimal | None:
    try:
        exact = stored.to_decimal()
    except DecimalException:  # bits that stand for no number of 34 digits
        return None
    return exact if exact.is_finite() else None


def width(value: Value) -> int:
    """Return the rank of a number's type: int32, int64, double, Decimal128."""
    return _WIDTHS[value[0]]


def sum_of_changes(base: Value | None, ours: Value, theirs: Value) -> Value | None:
    """Return base plus what each side added to it.

    The widest type of the three is that of the sum; int32 becomes int64 where it must. A
    double beside a Decimal128 counts as the shortest decimal that means it.

    Args:
        base: The number before, None for zero.
        ours: Our number.
        theirs: Their number.

    Returns:
        The sum; None where a value is no finite number, or its type cannot hold the sum
        (doubles are rounded once, the others are exact).
    """
    values = [ours, theirs] if base is None else [ours, theirs, base]
    numbers = [number for value in values if (number := number_of(value)) is not None]
    if len(numbers) < len(values):
        return None
    widest = max(map(width, values))
    if widest == _WIDTHS[DECIMAL]:
        return _decimal_sum([_decimal(number) for number in numbers])
    if widest == _WIDTHS[DOUBLE]:
        return _double_sum([Fraction(number) for number in numbers])
    return _integer_sum([int(number) for number in numbers], widest)


def _integer_sum(numbers: list[int], widest: int) -> Value | None:
    total = sum(numbers[:2]) - sum(numbers[2:])
    if widest == _WIDTHS[INT32] and -(1 << 31) <= total < 1 << 31:
        return struct.pack("<Bi", INT32, total)
    return struct.pack("<Bq", INT64, total) if -(1 << 63) <= total < 1 << 63 else None


def _double_sum(numbers: list[Fraction]) -> Value | None:
    total = sum(numbers[:2], Fraction()) - sum(numbers[2:], Fraction())
    try:
        return struct.pack("<Bd", DOUBLE, float(total))
    except OverflowError:
        return None


def _decimal(number: Number) -> Decimal:
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def _decimal_sum(numbers: list[Decimal]) -> Value | None:
    ours, theirs, *base = numbers
    total = _EXACT.add(ours, theirs)
    if base:
        total = _EXACT.subtract(total, base[0])
    stored = _STORED.copy()
    try:
        rounded = stored.create_decimal(total)
        if rounded != total:
            return None
        return bytes((DECIMAL,)) + Decimal128(rounded).bid
    except DecimalException:
        return None
