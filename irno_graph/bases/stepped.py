"""A base that answers with a change as one that answers with the state after a time step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from irno_graph.bases.callable import ask
from irno_graph.bases.rigno.stepper import Stepper, named_stepper
from irno_graph.graph import Graph

SAME = 1e-5  # relative, of lead times


class Stepped(nn.Module):
    """h0 = u + lead_time y ("derivative"), u + y ("residual") or y ("output"), where y = base(x, graph).

    u are the first channels of x, as many as y has. `Stepped(Standardised(OnGrid(PlainFNO(...), grid), ...))` is a
    Fourier neural operator on any mesh whose answer of zeros is no change at all: the way to the grid and back, which
    loses what the grid does not resolve, is that of the change alone.

    Args:
        base: answers y in physical units; it knows no lead time.
        stepper: what y means.
        lead_time: of the step, in the problem's unit of time.

    Raises:
        ValueError: for another stepper, or a lead time that is not positive.
    """

    def __init__(
        self, base: nn.Module, *, stepper: Stepper | str = Stepper.DERIVATIVE, lead_time: float = 0.1
    ) -> None:
        super().__init__()
        if not 0 < lead_time < math.inf:
            raise ValueError(f"`lead_time` should be positive, got {lead_time}.")
        self.base, self.stepper, self.lead_time = base, named_stepper(stepper), float(lead_time)

    def extra_repr(self) -> str:
        """What a printed module says."""
        return f"stepper={self.stepper}, lead_time={self.lead_time}"

    def forward(
        self,
        x: Tensor,
        graph: Graph,
        *,
        time: Tensor | float | None = None,
        lead_time: Tensor | float | None = None,
    ) -> Tensor:
        """State `[..., nodes, channels]` a time step after x `[..., nodes, in_channels]`.

        Raises:
            ValueError: for a lead time other than its own.
        """
        if lead_time is not None:
            self._check(torch.as_tensor(lead_time))
        y = ask(self.base, x, graph, time=time)
        state, tau = x[..., : y.shape[-1]], x.new_full((1,), self.lead_time)
        state, change = (own.reshape(-1, *own.shape[-2:]) for own in (state, y))  # [samples, nodes, channels]
        return self.stepper.apply(state, change, tau).reshape(y.shape)

    def _check(self, lead_time: Tensor) -> None:
        if bool(((lead_time - self.lead_time).abs() > SAME * self.lead_time).any()):
            raise ValueError(
                f"`lead_time` should be {self.lead_time:g}, which this base was made for, got "
                f"{lead_time.flatten()[0].item():g}: leave it out, or take a base that knows lead times."
            )

    def config(self) -> dict[str, Any]:
        """What `from_config` needs, without the base's own."""
        return {"stepper": str(self.stepper), "lead_time": self.lead_time}

    @staticmethod
    def from_config(config: dict[str, Any], base: nn.Module) -> Stepped:
        """The wrapper that `config` describes around `base`."""
        return Stepped(base, **config)
