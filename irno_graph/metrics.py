"""Errors of fields on graphs: mass-weighted, per channel, per graph.

Every metric takes `(prediction, truth, graph)` with fields `[..., nodes, channels]` and returns `[..., channels]`
on one graph and `[..., graphs, channels]` on a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from irno_graph.graph import Graph, mass_mean

TINY = 1e-30


def relative_l2(prediction: Tensor, truth: Tensor, graph: Graph, *, joint: bool = False) -> Tensor:
    """||prediction - truth|| / ||truth|| in the mass-weighted 2-norm; `joint` takes all channels as one vector."""
    _check(prediction, truth)
    return _ratio((prediction - truth).square(), truth.square(), graph, joint).sqrt()


def relative_l1(prediction: Tensor, truth: Tensor, graph: Graph, *, joint: bool = False) -> Tensor:
    """The same in the mass-weighted 1-norm."""
    _check(prediction, truth)
    return _ratio((prediction - truth).abs(), truth.abs(), graph, joint)


def vrmse(prediction: Tensor, truth: Tensor, graph: Graph) -> Tensor:
    """Root mean square error over the standard deviation of the truth in space (The Well)."""
    _check(prediction, truth)
    exact = truth.double()  # a variance by difference loses digits
    error = mass_mean((prediction.double() - exact).square(), graph)
    variance = mass_mean(exact.square(), graph) - mass_mean(exact, graph).square()
    return (error / variance.clamp_min(TINY)).sqrt().to(truth.dtype)


def _ratio(error: Tensor, size: Tensor, graph: Graph, joint: bool) -> Tensor:
    error, size = mass_mean(error, graph), mass_mean(size, graph)
    if joint:
        error, size = error.sum(dim=-1), size.sum(dim=-1)
    return error / size.clamp_min(TINY)


def _check(prediction: Tensor, truth: Tensor) -> None:
    if prediction.shape[-2:] != truth.shape[-2:]:
        raise ValueError(
            f"prediction and truth should agree in nodes and channels, got {list(prediction.shape)} and "
            f"{list(truth.shape)}: compare fields on the same graph."
        )
    if not torch.isfinite(truth).all():
        raise ValueError("`truth` should be finite, got NaN or infinite values: repair the data.")
