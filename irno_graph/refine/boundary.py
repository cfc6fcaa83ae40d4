"""Values that a refinement keeps: Dirichlet conditions."""

from __future__ import annotations

from collections.abc import Callable as Function
from dataclasses import dataclass, replace

import torch
from torch import Tensor

Values = Tensor | float


@dataclass(frozen=True, eq=False)
class Dirichlet:
    """h = values where the mask is set: in every state of a refinement, h_0 too, and so Phi = 0 there.

    Masks of a mesh come from its tags (`mesh.tagged`) or its rim (`mesh.boundary`), which are in the order of the
    points; a graph made with an `order` wants them as `mask[graph.original_index]`.

    Args:
        mask: bool `[nodes]`, for all channels, or `[nodes, channels]`.
        values: in physical units, a number or a tensor that broadcasts to `[..., nodes, channels]`; only what lies
            in the mask is read. In a rollout also a function of the time that returns one.

    Raises:
        ValueError: if the mask is not such a tensor. Values are checked where they are imposed.

    A channel: no slip at the walls, and an inflow that pulsates.

    >>> walls = torch.tensor([True, False, False, True])  # torch.from_numpy(mesh.tagged("wall"))
    >>> inlet = torch.tensor([False, True, False, False])
    >>> flow = Dirichlet(walls | inlet, lambda time: inlet[:, None] * (1.0 + 0.5 * time))
    >>> flow.at(1.0).impose(torch.full((4, 1), 7.0)).flatten()
    tensor([0.0000, 1.5000, 7.0000, 0.0000])
    """

    mask: Tensor
    values: Values | Function[[float], Values]

    def __post_init__(self) -> None:
        mask = self.mask
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise ValueError(
                f"`mask` should be a bool tensor, got {kind}: torch.from_numpy(mesh.tagged(...)) is one."
            )
        if mask.dim() not in (1, 2):
            raise ValueError(
                f"`mask` should have shape [nodes] or [nodes, channels], got {list(mask.shape)}: "
                "it is the same for all samples, `values` may differ between them."
            )

    def at(self, time: float) -> Dirichlet:
        """The condition at `time`, in the problem's unit: its values are a number or a tensor."""
        return replace(self, values=self.values(time)) if callable(self.values) else self

    def impose(self, field: Tensor) -> Tensor:
        """`field` `[..., nodes, channels]` with the values in the mask, cast to its dtype.

        Raises:
            ValueError: if mask or values do not fit the field, are on another device, are still a function of
                time, or are NaN or infinite in the mask.
        """
        mask = self._mask(field)
        if callable(self.values):
            raise ValueError(
                "`values` should be a number or a tensor, got a function of time: pass `fixed.at(time)`."
            )
        values = torch.as_tensor(self.values, dtype=field.dtype)
        _check_place("values", values, field)
        try:
            values = values.to(field.device).expand(field.shape)
        except RuntimeError as error:
            raise ValueError(
                f"`values` should broadcast to {list(field.shape)}, [..., nodes, channels], got "
                f"{list(values.shape)}: give one number for each node and channel, or one for all of them."
            ) from error
        bad = int((mask & ~torch.isfinite(values)).sum())
        if bad:
            raise ValueError(
                f"`values` should be finite in the mask, got {bad} values there that are NaN or infinite: "
                "leave these nodes out of the mask."
            )
        return torch.where(mask, values, field)

    def vanish(self, field: Tensor) -> Tensor:
        """`field` `[..., nodes, channels]` with zeros in the mask, as a correction has them.

        Raises:
            ValueError: if the mask does not fit the field.
        """
        return torch.where(self._mask(field), 0.0, field)

    def _mask(self, field: Tensor) -> Tensor:
        """The mask as `[nodes, channels or 1]`."""
        nodes, channels = field.shape[-2:]
        if tuple(self.mask.shape) not in ((nodes,), (nodes, 1), (nodes, channels)):
            raise ValueError(
                f"`mask` should have shape [nodes={nodes}] or [nodes={nodes}, channels={channels}], got "
                f"{list(self.mask.shape)}: rebuild it for this graph."
            )
        _check_place("mask", self.mask, field)
        return self.mask if self.mask.dim() == 2 else self.mask.unsqueeze(-1)


def _check_place(name: str, tensor: Tensor, field: Tensor) -> None:
    if tensor.device != field.device and tensor.dim() > 0:  # a number goes anywhere
        raise ValueError(
            f"`{name}` should be on {field.device}, as the field is, got {tensor.device}: use .to()."
        )
