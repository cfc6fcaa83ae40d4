"""Numbers of a comparison of correctors: scores per seed, what is left of an error, intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.95
MARKS = {"steps": "equal steps", "time": "equal time"}
ON_GRIDS = ("unet", "resnet", "convnext", "fno")
Scores = Sequence[Mapping[str, Any]]  # one for each seed


class Interval(NamedTuple):
    """Mean and half width of its 95 % confidence interval, NaN for one value and for values that are not finite."""

    mean: float
    half: float

    @property
    def holds_zero(self) -> bool:
        """Whether 0 is within the interval."""
        return abs(self.mean) <= self.half


def interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Mean and t s / sqrt(n) of n values, with Student's t of n - 1 degrees of freedom.

    >>> interval([1.0, 3.0]).mean, round(interval([1.0, 3.0]).half, 3)
    (2.0, 12.706)
    """
    found = np.asarray(values, dtype=float)
    if len(found) < 2 or not np.isfinite(found).all():
        return Interval(float(found.mean()), nan)
    t = stdtrit(len(found) - 1, (1 + LEVEL) / 2)
    return Interval(float(found.mean()), float(t * found.std(ddof=1) / sqrt(len(found))))


def left(refined: Scores, alone: Scores) -> np.ndarray:
    """VRMSE over that of the base, per seed, in %."""
    return 100 * _ratio([own["vrmse"] for own in refined], [own["vrmse"] for own in alone])


def left_bands(refined: Scores, alone: Scores) -> np.ndarray:
    """Root mean square error over that of the base, `[seeds, bands]` in %; NaN where the base has none."""
    return 100 * _ratio([own["bands"] for own in refined], [own["bands"] for own in alone])


def fall(own: Mapping[str, Any]) -> float:
    """By how much a training's least validation error fell in the last quarter of its time, in %."""
    earlier = [error for seconds, error in own["valid"] if seconds <= 0.75 * own["seconds"]]
    return 100 * (1 - min(error for _, error in own["valid"]) / min(earlier))


@dataclass(frozen=True)
class Comparison:
    """Looks into a result of `experiments.compare.run_compare`."""

    result: Mapping[str, Any]

    @property
    def config(self) -> Mapping[str, Any]:
        """Its settings."""
        return self.result["config"]

    @property
    def name(self) -> str:
        """As its file says."""
        return self.config["name"]

    @property
    def bases(self) -> list[str]:
        """Names."""
        return list(self.result["base"])

    @property
    def kinds(self) -> list[str]:
        """Names of correctors."""
        return list(self.result["correctors"])

    @property
    def seeds(self) -> list[str]:
        """As JSON has them."""
        return [str(seed) for seed in self.config["seeds"]]

    @property
    def tests(self) -> list[str]:
        """Names of test sets; the first one counts."""
        return list(self.result["samples"])

    @property
    def steps(self) -> int:
        """K."""
        return self.config["corrector"]["steps"]

    @property
    def on_sphere(self) -> bool:
        """Whether the data are on a grid of the sphere."""
        problem, loss = self.config["problem"], self.config["corrector"]["spectral_loss"]
        has_acc = any("acc" in own for base in self.bases for own in self.alone(base, self.tests[0]))
        return has_acc or loss == "sphere" or problem["generator"] == "shallow-water"

    def seen(self, base: str, part: str) -> list[float]:
        """VRMSE of a base on its "train" or "valid" pairs, per seed."""
        return [self.result["seen"][base]["base"][seed][part] for seed in self.seeds]

    def alone(self, base: str, test: str) -> Scores:
        """Scores of a base."""
        return [self.result["scores"][base]["base"][seed][test]["base"] for seed in self.seeds]

    def control(self, base: str, test: str) -> Scores:
        """Scores of a base that was trained on."""
        return [self.result["scores"][base]["base"][seed][test]["control"] for seed in self.seeds]

    def refined(self, base: str, kind: str, test: str, mark: str) -> Scores:
        """Scores after refinement; `mark` is one of MARKS."""
        return [self.result["scores"][base][kind][seed][test][mark] for seed in self.seeds]

    def transferred(self, trained: str, kind: str, test: str, base: str) -> Scores:
        """Scores of `base` refined by the corrector that was trained on the base `trained`."""
        return [self.result["scores"][trained][kind][seed][test]["refines"][base] for seed in self.seeds]

    def left(self, base: str, kind: str, mark: str) -> np.ndarray:
        """What a corrector leaves of the base's error on the first test, per seed in %."""
        test = self.tests[0]
        return left(self.refined(base, kind, test, mark), self.alone(base, test))

    def curve(self, base: str, kind: str) -> np.ndarray:
        """VRMSE on the first test at k = 0 ... 2 K, `[seeds, 2 K + 1]`, at equal time."""
        return np.array([own["curve"] for own in self.refined(base, kind, self.tests[0], "time")])

    def cost(self, base: str, kind: str, key: str) -> float:
        """Mean over the seeds that were measured."""
        return float(np.mean([own[key] for own in self.result["costs"][base][kind].values()]))

    def base_seconds(self, base: str) -> float:
        """Per sample: the shortest of what was measured beside each corrector."""
        return min(self.cost(base, kind, "base_seconds") for kind in self.kinds)

    def best(self, base: str, mark: str, kinds: Sequence[str]) -> str:
        """The one of `kinds` that leaves the least, on the mean over seeds."""
        return min(kinds, key=lambda kind: _last_if_nan(self.left(base, kind, mark).mean()))


def family(kind: str) -> str:
    """Of a corrector."""
    return "grids" if kind in ON_GRIDS else "graphs"


def _last_if_nan(value: float) -> float:
    return value if isfinite(value) else float("inf")


def _ratio(upper: Any, lower: Any) -> np.ndarray:
    above, below = np.array(upper, dtype=float), np.array(lower, dtype=float)
    return np.divide(above, below, out=np.full_like(above, nan), where=below > 0)
