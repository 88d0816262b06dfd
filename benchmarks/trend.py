"""What measurements at growing sizes say about a size that was not measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

FLAT = 0.5
"""A line that grows by less than this part of itself, from the smallest to the largest size, is
taken for flat, and so is one that grows by less than measurements of one size differ."""

UNCLEAR = 0.5
"""Where a measurement is further from the line than this part of it, the line says nothing."""


@dataclass(frozen=True)
class Trend:
    """A cost at a size: ``fixed + per_document * documents``.

    Attributes:
        fixed: The part that does not grow.
        per_document: What each document adds, 0 where the line is flat.
        residual: The largest distance of a measurement from the line, as a part of it.
        flat: Whether the line is taken for flat.
        clear: Whether the measurements are near enough to it.
    """

    fixed: float
    per_document: float
    residual: float
    flat: bool

    @property
    def clear(self) -> bool:
        return self.residual <= UNCLEAR

    def at(self, documents: int) -> float:
        """Return the cost at a size."""
        return self.fixed + self.per_document * documents


def trend(measured: Mapping[int, Sequence[float]], *, may_be_flat: bool = True) -> Trend:
    """Return the line through the medians of measurements.

    Distances count in proportion to the cost, so that the largest size does not decide alone.

    Args:
        measured: The measurements at each size, at least two sizes.
        may_be_flat: Whether a line that hardly grows is taken for flat. Not where it is known that
            every document is touched: a small growth matters at a hundred times the size.
    """
    points = [(size, median(values)) for size, values in sorted(measured.items())]
    fixed, slope = _line(points)
    first, last = points[0][0], points[-1][0]
    middle = median(value for _, value in points)
    noise = max(max(values) - min(values) for values in measured.values())
    flat = may_be_flat and slope * (last - first) <= max(FLAT * middle, noise)
    if flat:
        fixed, slope = middle, 0.0
    distances = (
        abs(value - fixed - slope * size) / (fixed + slope * size) for size, value in points
    )
    return Trend(fixed, slope, max(distances), flat)


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return the constant and the slope of least squares, neither of them below 0."""
    weights = [1 / value**2 for _, value in points]
    total = sum(weights)
    x = sum(w * size for w, (size, _) in zip(weights, points, strict=True)) / total
    y = sum(w * value for w, (_, value) in zip(weights, points, strict=True)) / total
    over = sum(
        w * (size - x) * (value - y) for w, (size, value) in zip(weights, points, strict=True)
    )
    under = sum(w * (size - x) ** 2 for w, (size, _) in zip(weights, points, strict=True))
    slope = max(over / under, 0.0)
    if y < slope * x:  # through the origin: nothing costs less than nothing
        return 0.0, y / x
    return y - slope * x, slope
