"""The refinement: a frozen base gives h0, a corrector improves it step by step.

Source: "Iterative Refinement Neural Operators are Learned Fixed-Point Solvers" (arXiv 2605.24041).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable as Function
from typing import Protocol, TypeGuard

import torch
from torch import Tensor, nn

from irno_graph.bases import Callable, ask
from irno_graph.graph import Graph
from irno_graph.nn.fields import check_field
from irno_graph.refine.boundary import Dirichlet
from irno_graph.refine.loop import Refinement, refine
from irno_graph.refine.scaling import Scaling

Time = Tensor | float | None


class Prepares(Protocol):
    """A corrector that computes what depends on x and the graph alone once for all steps of a refinement.

    prepare(x, graph)(h) = Phi(x, h, graph). All that is prepared should be there when `prepare` returns: where steps
    are recomputed, the function of h is called again in the backward pass and should then do the same.
    """

    def prepare(
        self, x: Tensor, graph: Graph, *, time: Time = None, lead_time: Time = None
    ) -> Function[[Tensor], Tensor]:
        """The function h -> Phi(x, h, graph) on fields `[..., nodes, channels]`."""


class IRNO(nn.Module):
    """h_{k+1} = h_k + alpha Phi(x, h_k, graph), from h_0 = base(x, graph).

    The base is frozen and stays in evaluation mode. Fields are in physical units outside; the corrector sees
    them scaled by `scaling` (none: as they are).

    Args:
        base: a module or function `(x, graph) -> [..., nodes, channels]`; a module may also take `time` and
            `lead_time` by name.
        corrector: `(x, h, graph) -> [..., nodes, channels]`, may also take `time` and `lead_time` by name; one that
            has a method `prepare` (see `Prepares`) is asked through it, once per refinement.
        alpha: step size in (0, 1].
        steps: default number of steps K.
        scaling: units of the corrector's inputs and output.

    Raises:
        ValueError: if alpha is not in (0, 1] or steps is negative.
    """

    def __init__(
        self,
        base: nn.Module | Function[[Tensor, Graph], Tensor],
        corrector: nn.Module,
        *,
        alpha: float = 0.25,
        steps: int = 4,
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"`alpha` should be in (0, 1], got {alpha}: 0.25 is a good start.")
        _check_steps(steps)
        self.base = base if isinstance(base, nn.Module) else Callable(base)
        self.corrector, self.scaling = corrector, scaling
        self.alpha, self.steps = float(alpha), int(steps)
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
    ) -> Function[[Tensor], Tensor]:
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
        """h + alpha Phi(x, h, graph)."""
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
            recompute: keep h_k alone of each step for the backward pass, which computes the step again: memory for
                one step instead of K, one more evaluation of Phi in each, the same gradients.

        Raises:
            ValueError: if x does not fit the graph or is not finite, `steps` is negative, or `fixed` does not fit h_0.
        """
        count = self.steps if steps is None else steps
        _check_steps(count)
        check_field(x, graph, None, "x")
        with torch.no_grad():
            h = ask(self.base, x, graph, time=time, lead_time=lead_time)
        if fixed is not None:
            h = fixed.impose(h)
        correction: Function[[Tensor], Tensor] = torch.zeros_like  # of no steps
        if count > 0:
            correction = self.correction(x, graph, time=time, lead_time=lead_time, fixed=fixed)
        return refine(correction, h, graph, steps=count, alpha=self.alpha, recompute=recompute)

    def extra_repr(self) -> str:
        """Step size and number of steps."""
        return f"alpha={self.alpha}, steps={self.steps}"


def prepares(corrector: nn.Module | Prepares) -> TypeGuard[Prepares]:
    """Whether the corrector has a method `prepare`; one wrapped by torch.compile is called whole, as compiled."""
    return callable(getattr(type(corrector), "prepare", None))


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _check_steps(steps: int) -> None:
    if steps < 0:
        raise ValueError(f"`steps` should be 0 or more, got {steps}: 0 is the base alone.")
