"""The refinement: a frozen base gives h0, a corrector improves it step by step.

Source: "Iterative Refinement Neural Operators are Learned Fixed-Point Solvers" (arXiv 2605.24041).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable as Function
from enum import IntEnum
from typing import NamedTuple

import torch
from torch import Tensor, nn

from irno_graph.bases import Callable, ask
from irno_graph.graph import Graph, graph_sum, mass_norm, node_graph_index
from irno_graph.graph.pyg import Batch
from irno_graph.nn.fields import check_field
from irno_graph.refine.scaling import Scaling


class Status(IntEnum):
    """How a sample's refinement or rollout ended."""

    DONE = 0
    NOT_FINITE = 1

    @property
    def sentence(self) -> str:
        """What to tell a user."""
        return {
            Status.DONE: "all steps were taken",
            Status.NOT_FINITE: "a value became NaN or infinite: only what came before it is returned",
        }[self]


class Refinement(NamedTuple):
    """What `IRNO` returns.

    Attributes:
        value: the refined estimate `[..., nodes, channels]`.
        states: h_0 ... h_K, `[steps + 1, ..., nodes, channels]`.
        residuals: mass-weighted root mean square of (h_{k+1} - h_k) / alpha, `[steps, ..., channels]`
            (`[steps, ..., graphs, channels]` on a batch).
        steps_taken: refinement steps per sample, `[...]` (`[..., graphs]` on a batch).
        status: `Status` code per sample, likewise.
    """

    value: Tensor
    states: Tensor
    residuals: Tensor
    steps_taken: Tensor
    status: Tensor


class IRNO(nn.Module):
    """h_{k+1} = h_k + alpha Phi(x, h_k, graph), from h_0 = base(x, graph).

    The base is frozen and stays in evaluation mode. Fields are in physical units outside; the corrector sees
    them scaled by `scaling` (none: as they are).

    Args:
        base: a module or function `(x, graph) -> [..., nodes, channels]`; a module may also take `time` and
            `lead_time` by name.
        corrector: `(x, h, graph) -> [..., nodes, channels]`.
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

    def phi(self, x: Tensor, h: Tensor, graph: Graph) -> Tensor:
        """The correction Phi(x, h, graph) in physical units `[..., nodes, channels]`."""
        if self.scaling is None:
            return self.corrector(x, h, graph)
        return self.scaling.correction(self.corrector(self.scaling.input(x), self.scaling.state(h), graph))

    def step(self, x: Tensor, h: Tensor, graph: Graph) -> Tensor:
        """h + alpha Phi(x, h, graph)."""
        return h + self.alpha * self.phi(x, h, graph)

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        steps: int | None = None,
        time: Tensor | float | None = None,
        lead_time: Tensor | float | None = None,
    ) -> Refinement:
        """Refine the base's answer for x `[..., nodes, in_channels]`; `steps=0` gives the base alone.

        Raises:
            ValueError: if x does not fit the graph, is not finite, or steps is negative.
        """
        count = self.steps if steps is None else steps
        _check_steps(count)
        check_field(x, graph, None, "x")
        with torch.no_grad():
            h = ask(self.base, x, graph, time=time, lead_time=lead_time)
        alive = finite_samples(h, graph)
        steps_taken = torch.zeros_like(alive, dtype=torch.long)
        states, residuals = [h], []
        for _ in range(count):
            usable = h if bool(alive.all()) else torch.where(over_nodes(alive, graph), h, 0.0)
            new = self.step(x, usable, graph)
            alive = alive & finite_samples(new, graph)
            new = torch.where(over_nodes(alive, graph), new, h)
            steps_taken = steps_taken + alive.long()
            residuals.append(mass_norm((new - h) / self.alpha, graph))
            h = new
            states.append(h)
        empty = mass_norm(h, graph).unsqueeze(0)[:0]
        return Refinement(
            value=h,
            states=torch.stack(states),
            residuals=torch.stack(residuals) if residuals else empty,
            steps_taken=steps_taken,
            status=torch.where(alive, int(Status.DONE), int(Status.NOT_FINITE)),
        )

    def extra_repr(self) -> str:
        """Step size and number of steps."""
        return f"alpha={self.alpha}, steps={self.steps}"


def finite_samples(field: Tensor, graph: Graph) -> Tensor:
    """Whether every value of a sample of `field` `[..., nodes, channels]` is finite, `[...]`, or `[..., graphs]`."""
    bad = graph_sum((~torch.isfinite(field)).any(dim=-1, keepdim=True).to(torch.long), graph)
    finite = bad.squeeze(-1) == 0  # [..., graphs]
    return finite if isinstance(graph, Batch) else finite.squeeze(-1)


def over_nodes(samples: Tensor, graph: Graph) -> Tensor:
    """What holds of a sample, `[...]` or `[..., graphs]`, at its nodes: `[..., nodes, 1]`, or `[..., 1, 1]`."""
    if isinstance(graph, Batch):
        return samples[..., node_graph_index(graph)[0]].unsqueeze(-1)
    return samples.reshape(*samples.shape, 1, 1)


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
