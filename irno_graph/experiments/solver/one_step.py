"""One time step from true states: certificates, errors against the number of steps, accelerated steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from irno_graph.experiments.certification import certificates, to_json
from irno_graph.graph import Graph
from irno_graph.refine import IRNO, Aitken, Anderson, Averaged, Decaying, Harmonic, Schedule, Solver

FAR = 8  # times K
RATE = 0.25  # of the step sizes that decay after K steps
WITHIN = 1.01  # errors are equal within one per cent
TOLERANCES = (0.8, 0.65, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005)
Progress = Callable[[int, int], None]


class Samples(NamedTuple):
    """True states, their successors `[samples, nodes, channels]`, and their graph."""

    x: Tensor
    y: Tensor
    graph: Graph

    @classmethod
    def of(cls, truth: Tensor, graph: Graph, time_steps: list[int]) -> Samples:
        """From trajectories `[samples, times, nodes, channels]`, one time step after the other."""
        last = truth.shape[1] - 2
        wrong = [step for step in time_steps if step > last]
        if wrong:
            raise ValueError(f"`time_steps` should be in 0..{last}, got {wrong}: the trajectories end there.")
        x, y = (torch.cat([truth[:, step + add] for step in time_steps]) for add in (0, 1))
        return cls(x, y, graph)


def varied(model: IRNO, *, alpha: float | Schedule | None = None, solver: Solver | None = None) -> IRNO:
    """The same base and corrector with another step size or solver, and no guard."""
    other = IRNO(
        model.base,
        model.corrector,
        alpha=model.alpha if alpha is None else alpha,
        steps=model.steps,
        scaling=model.scaling,
        solver=solver,
    )
    return other.eval()


@torch.no_grad()
def errors(model: IRNO, samples: Samples, steps: int, chunk: int = 16) -> Tensor:
    """|h_k - y| in the model's space `[steps + 1, samples]`."""
    found = []
    for x, y in zip(samples.x.split(chunk), samples.y.split(chunk), strict=True):
        out = model(x, samples.graph, steps=steps)
        found.append(model.space(y, samples.graph).norm(out.states - y))
    return torch.cat(found, dim=1)


def pearson(first: Tensor, second: Tensor) -> float | None:
    """Pearson's correlation of two vectors; None where one of them is constant."""
    if not bool(first.std() > 0) or not bool(second.std() > 0):
        return None
    return float(np.corrcoef(first.numpy(), second.numpy())[0, 1])


@torch.no_grad()
def biases(model: IRNO, samples: Samples, chunk: int = 16) -> Tensor:
    """|Phi(x, y)| `[samples]`."""
    found = []
    for x, y in zip(samples.x.split(chunk), samples.y.split(chunk), strict=True):
        found.append(model.space(y, samples.graph).norm(model.phi(x, y, samples.graph)))
    return torch.cat(found)


def certificate_figures(
    model: IRNO,
    truth: Tensor,
    graph: Graph,
    *,
    certified: int,
    time_steps: list[int],
    iterations: int,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Certificates, and how well the bias predicts the smallest error of a refinement of up to 8 K steps."""
    all_steps = Samples.of(truth, graph, list(range(truth.shape[1] - 1)))
    smallest = errors(varied(model), all_steps, FAR * model.steps).amin(dim=0)
    bias = biases(model, all_steps)
    found: dict[str, Any] = {
        "samples": len(bias),
        "pearson": pearson(bias, smallest),
        "bias": bias.tolist(),
        "smallest_error": smallest.tolist(),
        "at": {},
    }
    total = len(time_steps) * certified
    for number, step in enumerate(time_steps):

        def report(done: int, _: int, before: int = number * certified) -> None:
            if progress is not None:
                progress(before + done, total)

        one = certificates(
            varied(model), truth[:certified], graph, time_step=step, iterations=iterations, progress=report
        )
        found["at"][str(step)] = to_json(one)
    return found


def step_figures(model: IRNO, samples: Samples, alphas: list[float]) -> dict[str, Any]:
    """Mean error over that of the base, against k = 0 ... 8 K, for constant step sizes and schedules."""
    steps = model.steps
    kinds: dict[str, float | Schedule] = {f"{alpha:g}": alpha for alpha in alphas}
    kinds |= {
        f"harmonic({model.alpha:g}, {steps})": Harmonic(model.alpha, after=steps),
        f"averaged({model.alpha:g}, {steps})": Averaged(model.alpha, after=steps),
        f"decaying({model.alpha:g}, {RATE:g}, {steps})": Decaying(model.alpha, RATE, after=steps),
    }
    curves, worst = {}, {}
    for name, alpha in kinds.items():
        found = errors(varied(model, alpha=alpha), samples, FAR * steps)
        left = found / found[0]
        curves[name] = left.mean(dim=1).tolist()
        worst[name] = left[-1].max().item()
    return {
        "steps": steps,
        "samples": len(samples.x),
        "error": curves,
        "rise_after_K": {name: max(own[steps:]) / own[steps] - 1 for name, own in curves.items()},
        "largest_error_at_8K": worst,
    }


class _Way(NamedTuple):
    solver: Solver | None
    stops: bool


WAYS = {
    "plain": _Way(None, False),
    "plain, stopped": _Way(None, True),
    "Aitken": _Way(Aitken(), False),
    "Aitken, stopped": _Way(Aitken(), True),
    "Anderson": _Way(Anderson(), False),
    "Anderson, stopped": _Way(Anderson(), True),
}


class _Path(NamedTuple):
    """Errors and residuals |Phi(h_k)| `[8 K + 1, samples]` and `[8 K, samples]`."""

    errors: Tensor
    residuals: Tensor


@torch.no_grad()
def solver_figures(model: IRNO, valid: Samples, test: Samples, alphas: list[float]) -> dict[str, Any]:
    """Applications of Phi per sample that reach the error of the plain iteration's best number of steps.

    Per step size, the goal is the least mean error of the plain iteration within 8 K steps on the validation samples,
    plus one per cent. Every way of solving gets the number of steps, or the tolerance, that reaches the goal on them
    with the fewest applications; what it then takes and gives is measured on the test samples.
    """
    found: dict[str, Any] = {"steps": model.steps, "samples": len(test.x), "alpha": {}}
    for alpha in alphas:
        paths = {
            solver: _path(varied(model, alpha=alpha, solver=solver), valid)
            for solver in dict.fromkeys(way.solver for way in WAYS.values())
        }
        goal = WITHIN * float(paths[None].errors.mean(dim=1).min())
        ways: dict[str, dict[str, float] | None] = {}
        for name, way in WAYS.items():
            setting = _tolerance(paths[way.solver], goal) if way.stops else _steps(paths[way.solver], goal)
            own = varied(model, alpha=alpha, solver=way.solver)
            ways[name] = None if setting is None else {"setting": setting, **_measured(own, test, setting)}
        found["alpha"][f"{alpha:g}"] = ways
    return found


def _path(model: IRNO, samples: Samples, chunk: int = 16) -> _Path:
    wrong, sizes = [], []
    for x, y in zip(samples.x.split(chunk), samples.y.split(chunk), strict=True):
        out = model(x, samples.graph, steps=FAR * model.steps)
        space = model.space(y, samples.graph)
        wrong.append(space.norm(out.states - y))
        units = 1.0 if model.scaling is None else model.scaling.std.double()
        sizes.append((out.residuals.double() / units).square().sum(dim=-1).sqrt())
    return _Path(torch.cat(wrong, dim=1), torch.cat(sizes, dim=1))


def _steps(path: _Path, goal: float) -> int | None:
    """The least number of steps with a mean error of at most the goal."""
    reached = (path.errors.mean(dim=1) <= goal).nonzero()
    return None if len(reached) == 0 else int(reached[0, 0])


def _tolerance(path: _Path, goal: float) -> float | None:
    """The tolerance with the fewest steps among those with a mean error of at most the goal."""
    steps = len(path.residuals)
    allowed = []
    for tolerance in TOLERANCES:
        done = path.residuals <= tolerance * path.residuals[0]
        taken = torch.where(done.any(dim=0), done.int().argmax(dim=0), steps)
        error = float(path.errors.gather(0, taken.unsqueeze(0)).mean())
        if error <= goal:
            allowed.append((float(taken.double().mean()), tolerance))
    return min(allowed)[1] if allowed else None


def _measured(model: IRNO, samples: Samples, setting: float, chunk: int = 16) -> dict[str, float]:
    """Mean error and applications of Phi, with a number of steps (int) or a tolerance (float)."""
    stops = isinstance(setting, float)
    steps, tolerance = (FAR * model.steps, setting) if stops else (int(setting), None)
    wrong, counts = [], []
    for x, y in zip(samples.x.split(chunk), samples.y.split(chunk), strict=True):
        out = model(x, samples.graph, steps=steps, tolerance=tolerance)
        wrong.append(model.space(y, samples.graph).norm(out.value - y))
        counts.append(out.applications.double())
    return {"error": float(torch.cat(wrong).mean()), "applications": float(torch.cat(counts).mean())}
