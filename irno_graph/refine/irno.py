"""The refinement: a frozen base gives h0, a corrector improves it step by step.

Source: "Iterative Refinement Neural Operators are Learned Fixed-Point Solvers" (arXiv 2605.24041).
"""

from __future__ import annotations

import math
from collections.abc import Callable as Function
from typing import Literal

import torch
from torch import Tensor, nn

from irno_graph.bases import Callable, ask
from irno_graph.correctors.prepares import Time, prepares
from irno_graph.graph import Graph
from irno_graph.nn.fields import check_field
from irno_graph.refine.adaptive import Correction, Problem, refine_adaptively
from irno_graph.refine.boundary import Dirichlet
from irno_graph.refine.guard import Guard, features
from irno_graph.refine.hashes import weights_hash
from irno_graph.refine.loop import Refinement, refine
from irno_graph.refine.pretrained import Pretrained
from irno_graph.refine.scaling import Scaling
from irno_graph.refine.schedules import Averaged, Constant, Schedule, averaged, check_alpha, step_sizes
from irno_graph.refine.solvers import Plain, Solver
from irno_graph.refine.space import Space


class IRNO(Pretrained, nn.Module):
    """h_{k+1} = h_k + alpha_k Phi(x, h_k, graph), from h_0 = base(x, graph).

    The base is frozen and stays in evaluation mode. Fields are in physical units outside; the corrector sees
    them scaled by `scaling` (none: as they are).

    Args:
        base: a module or function `(x, graph) -> [..., nodes, channels]`; a module may also take `time` and
            `lead_time` by name.
        corrector: `(x, h, graph) -> [..., nodes, channels]`, may also take `time` and `lead_time` by name; one that
            has a method `prepare` (see `Prepares`) is asked through it, once per refinement.
        alpha: step size in (0, 1], or a schedule k -> alpha_k (`refine.Harmonic`, any function); the attribute
            `alpha` is alpha_0 then, `schedule` the schedule. "auto": `refine.choose_alpha` will give it.
        steps: default number of steps K.
        scaling: units of the corrector's inputs and output.
        solver: what makes h_{k+1} of Phi(x, h_k) and the states before: `refine.Anderson()`, `refine.Aitken()`;
            None is the plain step above.
        guard: judges every sample after its steps and returns the base's answer, with the status `OUTSIDE`, for one
            that did not start where the corrector was trained; see `guarded`.

    Raises:
        ValueError: if alpha is not in (0, 1], steps is negative, or means are asked of a solver's states.
    """

    def __init__(
        self,
        base: nn.Module | Function[[Tensor, Graph], Tensor],
        corrector: nn.Module,
        *,
        alpha: float | Schedule | Literal["auto"] = 0.25,
        steps: int = 4,
        scaling: Scaling | None = None,
        solver: Solver | None = None,
        guard: Guard | None = None,
    ) -> None:
        super().__init__()
        self.schedule = alpha if callable(alpha) and not isinstance(alpha, Constant) else None
        self.solver = None if isinstance(solver, Plain) else solver
        first = math.nan if alpha == "auto" else alpha(0) if callable(alpha) else alpha
        if alpha != "auto":
            check_alpha("alpha", first)
        _check_steps(steps)
        if isinstance(self.schedule, Averaged) and self.solver is not None:
            raise ValueError(
                f"`solver` should be None with {alpha}, got {solver}: it mixes the states itself."
            )
        self.base = base if isinstance(base, nn.Module) else Callable(base)
        self.corrector, self.scaling, self.guard = corrector, scaling, guard
        self.alpha, self.steps = float(first), int(steps)
        self.base.requires_grad_(False)
        self.base.eval()

    @property
    def lead_time(self) -> float:
        """The base's default time step, 1 where it has none."""
        return float(getattr(self.base, "lead_time", 1.0))

    @property
    def base_hash(self) -> str:
        """SHA-256 of the base's weights."""
        return weights_hash(self.base)

    def train(self, mode: bool = True) -> IRNO:
        """Set the corrector's mode; the base stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def correction(
        self,
        x: Tensor,
        graph: Graph,
        *,
        time: Time = None,
        lead_time: Time = None,
        fixed: Dirichlet | None = None,
    ) -> Correction:
        """The function h -> Phi(x, h, graph) in physical units, zero where values are `fixed`.

        What depends on x and the graph alone is computed here, where the corrector has a `prepare`.
        """
        corrector, scaling = self.corrector, self.scaling
        known = x if scaling is None else scaling.input(x)
        prepared = None
        if prepares(corrector):
            prepared = corrector.prepare(known, graph, time=time, lead_time=lead_time)

        def phi(h: Tensor) -> Tensor:
            state = h if scaling is None else scaling.state(h)
            if prepared is None:
                value = ask(corrector, known, state, graph, time=time, lead_time=lead_time)
            else:
                value = prepared(state)
            value = value if scaling is None else scaling.correction(value)
            return value if fixed is None else fixed.vanish(value)

        return phi

    def phi(self, x: Tensor, h: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None) -> Tensor:
        """The correction Phi(x, h, graph) in physical units `[..., nodes, channels]`."""
        return self.correction(x, graph, time=time, lead_time=lead_time)(h)

    def step(
        self, x: Tensor, h: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Tensor:
        """h + alpha Phi(x, h, graph), with the first step size."""
        return h + self.alpha * self.phi(x, h, graph, time=time, lead_time=lead_time)

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        steps: int | None = None,
        time: Time = None,
        lead_time: Time = None,
        fixed: Dirichlet | None = None,
        tolerance: float | None = None,
        recompute: bool = False,
    ) -> Refinement:
        """Refine the base's answer for x `[..., nodes, in_channels]`; `steps=0` gives the base alone.

        Args:
            x: the operator's input, in physical units.
            graph: the graph of x, or a batch of graphs.
            steps: K; None is the model's own number.
            time: of x, for a base or corrector that takes it: a number, or one per sample.
            lead_time: how far ahead of it, likewise.
            fixed: Dirichlet values: all states h_0 ... h_K have them, Phi and residuals are zero there.
            tolerance: in (0, 1); a sample stops at h_k where |Phi(x, h_k)| <= tolerance |Phi(x, h_0)|, in the
                mass-weighted norm over all channels, each in units of `scaling.std`; on a batch, each graph of it.
            recompute: keep h_k alone of each step for the backward pass, which computes the step again: memory for
                one step instead of K, one more evaluation of Phi in each, the same gradients.

        Raises:
            ValueError: if x does not fit the graph or is not finite, `steps` is negative, `fixed` does not fit h_0, a
                step size or the tolerance is out of its range, or means are asked of states that stop.
        """
        out = self._unjudged(
            x,
            graph,
            self.steps if steps is None else steps,
            time=time,
            lead_time=lead_time,
            fixed=fixed,
            tolerance=tolerance,
            recompute=recompute,
        )
        if self.guard is None or len(out.states) == 1:  # the base alone is not judged
            return out
        return self.guard.applied(out, self.space(out.value, graph))

    def _unjudged(
        self,
        x: Tensor,
        graph: Graph,
        count: int,
        *,
        time: Time,
        lead_time: Time,
        fixed: Dirichlet | None,
        tolerance: float | None = None,
        recompute: bool = False,
    ) -> Refinement:
        _check_steps(count)
        self._check_tolerance(tolerance)
        check_field(x, graph, None, "x")
        with torch.no_grad():
            h = ask(self.base, x, graph, time=time, lead_time=lead_time)
        if fixed is not None:
            h = fixed.impose(h)
        correction: Correction = torch.zeros_like  # of no steps
        if count > 0:
            if math.isnan(self.alpha):
                raise ValueError(
                    '`alpha` is "auto" and not chosen yet: ask `refine.choose_alpha(model, x, graph, truth)` with '
                    "validation samples, which gives it to the model."
                )
            correction = self.correction(x, graph, time=time, lead_time=lead_time, fixed=fixed)
        if self.schedule is None and self.solver is None and tolerance is None:
            return refine(correction, h, graph, steps=count, alpha=self.alpha, recompute=recompute)
        out = refine_adaptively(
            Problem(correction, self._of_rows(x, h, graph, time, lead_time, fixed), self.space(h, graph)),
            h,
            step_sizes=step_sizes(self.alpha if self.schedule is None else self.schedule, count),
            solver=self.solver,
            tolerance=tolerance,
            recompute=recompute,
        )
        return averaged(out, graph, self.schedule.after) if isinstance(self.schedule, Averaged) else out

    def guarded(
        self,
        x: Tensor,
        graph: Graph,
        rate: float = 0.05,
        *,
        time: Time = None,
        lead_time: Time = None,
        fixed: Dirichlet | None = None,
    ) -> Guard:
        """A guard calibrated on validation samples x `[samples, nodes, in_channels]`; set it as `model.guard`.

        `time`, `lead_time` and `fixed` are those of the samples, see `forward`.

        Raises:
            ValueError: if x does not fit, the rate is not in (0, 1), or there are too few samples for it.
        """
        with torch.no_grad():
            out = self._unjudged(x, graph, self.steps, time=time, lead_time=lead_time, fixed=fixed)
        samples = features(out, self.space(out.value, graph))
        return Guard.calibrated(samples.flatten(0, -2), rate, steps=self.steps)

    def extra_repr(self) -> str:
        """Step size, number of steps and solver."""
        alpha = self.alpha if self.schedule is None else self.schedule
        return f"alpha={alpha}, steps={self.steps}" + (f", solver={self.solver}" if self.solver else "")

    def space(self, h: Tensor, graph: Graph) -> Space:
        """The inner product that residuals are measured in: channels in the units of the scaling."""
        return Space.of(graph, h.new_ones(h.shape[-1]) if self.scaling is None else self.scaling.std)

    def _of_rows(
        self, x: Tensor, h: Tensor, graph: Graph, time: Time, lead_time: Time, fixed: Dirichlet | None
    ) -> Function[[Tensor], Correction] | None:
        """`correction` of some samples by their numbers; None where it is not known what belongs to which."""
        leading = h.shape[:-2]
        if x.shape[:-2] != leading or not all(_has_rows(own, leading) for own in (time, lead_time)):
            return None

        def of(value: Tensor, rows: Tensor) -> Tensor:
            return value.reshape(-1, *value.shape[len(leading) :])[rows]

        def correction(rows: Tensor) -> Correction:
            times = [of(t, rows) if isinstance(t, Tensor) and t.numel() > 1 else t for t in (time, lead_time)]
            return self.correction(of(x, rows), graph, time=times[0], lead_time=times[1], fixed=fixed)

        return correction

    def _check_tolerance(self, tolerance: float | None) -> None:
        if tolerance is None:
            return
        if not 0.0 < tolerance < 1.0:
            raise ValueError(
                f"`tolerance` should be in (0, 1), got {tolerance}: it is relative to |Phi(h_0)|."
            )
        if isinstance(self.schedule, Averaged):
            raise ValueError(
                f"`tolerance` should be None with {self.schedule}, got {tolerance}: a mean of states that reach it "
                "does not."
            )


def _has_rows(time: Time, leading: torch.Size) -> bool:
    """Whether a time is the same for all samples, or given for each of them."""
    return not isinstance(time, Tensor) or time.numel() == 1 or time.shape[: len(leading)] == leading


def _check_steps(steps: int) -> None:
    if steps < 0:
        raise ValueError(f"`steps` should be 0 or more, got {steps}: 0 is the base alone.")
