"""Numbers of the report of `irno-graph experiment ce-gauss`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from irno_graph.report.compare_numbers import interval

GROUPS = ("velocity", "pressure", "density", "vorticity")
Result = Mapping[str, Any]


def gains(evaluation: Result, group: str, rollout: str = "refined") -> list[float]:
    """100 (1 - error / error of the base) per time step; NaN where a rollout has ended."""
    own, base = (evaluation["groups"][group][name] for name in (rollout, "base"))
    return [
        np.nan if one is None or other is None else 100.0 * (1.0 - one / other)
        for one, other in zip(own, base, strict=True)
    ]


def finite(value: float | None) -> float:
    """NaN for None."""
    return np.nan if value is None else float(value)


def spread(values: Sequence[float]) -> str:
    """The mean over seeds, and half the width of its interval; "ended" where a rollout has."""
    found = interval(values)
    if np.isnan(found.mean):
        return "ended"
    return f"{found.mean:.1f}" + ("" if np.isnan(found.half) else f" ± {found.half:.1f}")


def signed(value: float) -> str:
    """With its sign; "ended" for NaN."""
    return "ended" if np.isnan(value) else f"{value:+.1f}"


def median(values: Sequence[float | None]) -> str:
    """Of the known values; "-" where half of them are not."""
    known = [value for value in values if value is not None]
    return f"{np.median(known):.3g}" if len(known) > len(values) / 2 else "-"
