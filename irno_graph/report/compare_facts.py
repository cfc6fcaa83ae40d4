"""Sentences of a comparison's numbers, and numbers as the cells of its tables show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, isfinite, log10

import numpy as np

from irno_graph.report.compare_numbers import MARKS, Comparison, Interval, family, interval, left


def facts(own: Comparison) -> Iterator[str]:
    """Which corrector leaves the least of the first test's error, and its differences to others, in Markdown."""
    families = [
        [kind for kind in own.kinds if family(kind) == name] for name in dict.fromkeys(map(family, own.kinds))
    ]
    yield (
        f"On {own.tests[0]}. The best of each family is picked by these same numbers, which the intervals leave out of "
        "account.\n\n"
    )
    for base in own.bases:
        for mark, name in MARKS.items():
            best = own.best(base, mark, own.kinds)
            least = own.left(base, best, mark)
            yield f"- {base}, {name}: {best} leaves the least of the base's error, {percent_text(least)} %."
            for kinds in families:
                if best not in kinds:
                    other = own.best(base, mark, kinds)
                    rest = own.left(base, other, mark)
                    yield f" Of those on {family(other)}, {other} leaves the least, {percent_text(rest)} %. "
                    yield f"{_difference(best, other, least - rest)}"
            if mark == "time":
                rest = left(own.control(base, own.tests[0]), own.alone(base, own.tests[0]))
                yield f" The control leaves {percent_text(rest)} %. {_difference(best, 'control', least - rest)}"
            yield "\n"


def _difference(one: str, other: str, values: np.ndarray) -> str:
    found = interval(values)
    says = f"{one} less {other}, seed by seed: {_points(found)} points"
    if len(values) < 2:
        return f"{says}; one seed gives no interval."
    if np.isnan(found.half):
        return f"{says}; not all are finite, which gives no interval."
    return f"{says}; the interval {'contains' if found.holds_zero else 'does not contain'} 0."


def error_text(values: Sequence[float]) -> str:
    """Three digits of the mean, and its interval to the same place."""
    found = interval(values)
    known = isfinite(found.mean) and found.mean != 0
    places = max(0, 2 - floor(log10(abs(found.mean)))) if known else 3
    return _shown(found, f".{places}f")


def percent_text(values: Sequence[float] | np.ndarray) -> str:
    """The mean and its interval to one decimal, a dash for NaN."""
    return _shown(interval(values), ".1f")


def _points(found: Interval) -> str:
    return _shown(found, "+.1f")


def _shown(found: Interval, form: str) -> str:
    if np.isnan(found.mean):
        return "-"
    half = "" if np.isnan(found.half) else f" ± {found.half:{form.lstrip('+')}}"
    return f"{found.mean:{form}}{half}"
