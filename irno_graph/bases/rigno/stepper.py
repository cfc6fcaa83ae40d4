"""What the network's output means: the new state, its change, or its time derivative.

Source: RIGNO (arXiv 2501.19205), section 3.3.
"""

from __future__ import annotations

from enum import StrEnum

from torch import Tensor


class Stepper(StrEnum):
    """How y, the network's output times std plus mean, becomes the state at time + lead_time."""

    OUTPUT = "output"
    RESIDUAL = "residual"
    DERIVATIVE = "derivative"

    def apply(self, u: Tensor, y: Tensor, lead_time: Tensor) -> Tensor:
        """The new state from u and y `[samples, nodes, channels]` in physical units.

        `lead_time` is `[samples]`, or `[samples, nodes]` where graphs of a batch differ in it.
        """
        if self is Stepper.OUTPUT:
            return y
        if self is Stepper.RESIDUAL:
            return u + y
        return u + lead_time.view(len(lead_time), -1, 1) * y

    def target(self, u: Tensor, new: Tensor, lead_time: Tensor) -> Tensor:
        """The y that `apply` turns into `new`.

        >>> import torch
        >>> u, new, tau = torch.ones(1, 1, 1), torch.full((1, 1, 1), 3.0), torch.tensor([0.5])
        >>> [float(stepper.target(u, new, tau)) for stepper in Stepper]
        [3.0, 2.0, 4.0]
        """
        if self is Stepper.OUTPUT:
            return new
        if self is Stepper.RESIDUAL:
            return new - u
        return (new - u) / lead_time.view(len(lead_time), -1, 1)


def named_stepper(name: Stepper | str) -> Stepper:
    """The one of this name, or of the reference's: "der", "res", "out".

    Raises:
        ValueError: for another name.
    """
    short = {"der": Stepper.DERIVATIVE, "res": Stepper.RESIDUAL, "out": Stepper.OUTPUT}
    try:
        return short.get(str(name)) or Stepper(name)
    except ValueError:
        names = ", ".join(Stepper)
        raise ValueError(f"`stepper` should be one of {names}, got '{name}': pick one of these.") from None
