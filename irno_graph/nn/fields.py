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


def per_graph_of_sample(value: Tensor | float, leading: torch.Size, graphs: int, like: Tensor) -> Tensor:
    """`value`, a scalar or of shape `leading` or `[*leading, graphs]`, as `[samples or 1, graphs or 1]`.

    Raises:
        ValueError: if it has another shape.
    """
    number = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    if number.numel() == 1:
        return number.reshape(1, 1)
    if number.shape == leading:
        return number.reshape(-1, 1)
    if graphs > 1 and number.shape == (*leading, graphs):
        return number.reshape(-1, graphs)
    of_graphs = f", or {[*leading, graphs]} for each graph," if graphs > 1 else ""
    raise ValueError(
        f"a time should be a scalar or have shape {list(leading)}{of_graphs} got {list(number.shape)}: reshape it."
    )
