"""Checks of the fields that a user passes to a model."""

from __future__ import annotations

import torch
from torch import Tensor

from irno_graph.graph import Graph


def check_field(field: Tensor, graph: Graph, channels: int | None, name: str) -> None:
    """Check that `field` is `[..., nodes, channels]` on `graph`, floating and finite.

    Raises:
        ValueError: saying what was expected and what came.
    """
    if not isinstance(field, Tensor):
        raise ValueError(
            f"`{name}` should be a torch tensor, got {type(field).__name__}: use torch.as_tensor."
        )
    nodes = graph.num_nodes
    wanted = f"[..., nodes={nodes}, channels={'any' if channels is None else channels}]"
    shape = tuple(field.shape)
    if field.dim() < 2 or shape[-2] != nodes or (channels is not None and shape[-1] != channels):
        raise ValueError(
            f"`{name}` should have shape {wanted}, got {list(shape)}: reorder or rebuild the graph."
        )
    if not field.is_floating_point():
        raise ValueError(f"`{name}` should be floating point, got {field.dtype}: convert it with .float().")
    if field.device != graph.pos.device:
        raise ValueError(
            f"`{name}` should be on {graph.pos.device}, as the graph is, got {field.device}: use .to()."
        )
    if not torch.isfinite(field).all():
        bad = int((~torch.isfinite(field)).sum())
        raise ValueError(
            f"`{name}` should be finite, got {bad} values that are NaN or infinite: repair the input."
        )


def per_sample(value: Tensor | float, leading: torch.Size, like: Tensor) -> Tensor:
    """`value`, a scalar or of shape `leading`, as one number for each sample, `[samples]`."""
    number = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    if number.dim() > 0 and number.shape != leading and number.numel() != 1:
        raise ValueError(
            f"a time should be a scalar or have shape {list(leading)}, got {list(number.shape)}."
        )
    return number.reshape(leading if number.numel() != 1 else ()).expand(leading).reshape(-1)
