"""Errors of fields on graphs: mass-weighted, per channel, per graph.

A metric takes `(prediction, truth, graph)` with fields `[..., nodes, channels]` and returns `[..., channels]` on one
graph and `[..., graphs, channels]` on a batch. `chunk_errors` and what follows it are those of RIGNO's authors, without
masses, `official_vrmse` is that of IRNO's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irno_graph.graph import Graph, mass_mean, to_grid

TINY = 1e-30
REFERENCE_TINY = 1e-10
OFFICIAL_TINY = 1e-7


def relative_l2(prediction: Tensor, truth: Tensor, graph: Graph, *, joint: bool = False) -> Tensor:
    """||prediction - truth|| / ||truth|| in the mass-weighted 2-norm; `joint` takes all channels as one vector.

    With `joint` it is the relative Frobenius norm error (RFNE) of the matrix of nodes and channels, its rows weighted
    by the masses: sqrt(sum_ic m_i (prediction - truth)_ic^2 / sum_ic m_i truth_ic^2), `[...]`. The unweighted one is
    the same where all masses are equal, as on periodic grids.
    """
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


def anomaly_correlation(prediction: Tensor, truth: Tensor, climatology: Tensor, graph: Graph) -> Tensor:
    """The anomaly correlation coefficient (ACC) `[..., channels]`, 1 for a perfect prediction, per sample.

    sum_i m_i p_i t_i / sqrt(sum_i m_i p_i^2 sum_i m_i t_i^2) with p = prediction - climatology, t = truth - climatology
    and the masses m, the areas on the sphere. Means of the anomalies are not taken off (uncentred). Where an anomaly is
    zero everywhere, it is 0. Scores of forecasts are means of it over samples.
    Source: WeatherBench 2, Rasp et al., arXiv 2308.15560, whose weights are areas of cells of latitudes and longitudes.

    Args:
        prediction: `[..., nodes, channels]`.
        truth: likewise.
        climatology: what is usual, `[nodes, channels]`, or with leading dimensions that broadcast to the truth's, such
            as one for each sample's day of the year.
        graph: a graph, or a batch, which adds a dimension `graphs` before the channels.

    Raises:
        ValueError: if the fields differ in nodes or channels, or truth or climatology is not finite.
    """
    _check(prediction, truth)
    if climatology.shape[-2:] != truth.shape[-2:] or not torch.isfinite(climatology).all():
        raise ValueError(
            f"`climatology` should be finite of shape [..., nodes={truth.shape[-2]}, channels={truth.shape[-1]}], got "
            f"{list(climatology.shape)}: average the truth of many samples at every node."
        )
    usual = climatology.double()
    ours, exact = prediction.double() - usual, truth.double() - usual
    sizes = mass_mean(ours.square(), graph).sqrt() * mass_mean(exact.square(), graph).sqrt()
    return (mass_mean(ours * exact, graph) / sizes.clamp_min(TINY)).to(truth.dtype)


def official_vrmse(prediction: Tensor, truth: Tensor, graph: Graph) -> Tensor:
    """The official code's VRMSE on a grid `[..., nx]`: averages over channels and all axes but the last.

    Its evaluation passes fields `[samples, channels, ny, nx]` to a metric of The Well that takes channels last, so that
    sqrt(mean (prediction - truth)^2 / (var truth + 1e-7)) has the mean and the variance over (channel, y) and is left
    for each x. The variance is the unbiased one and masses do not weigh. Its tables hold the mean over samples
    and x of the finite values, `value[value.isfinite()].mean()`. To compare with its figures; else use `vrmse`.
    Source: utils/metrics.py of https://github.com/xiaotianliu-dartmouth/Iterative_Refinement_Neural_Operator and
    the_well.benchmark.metrics.

    Args:
        prediction: `[..., nodes, channels]`.
        truth: likewise.
        graph: made by `Graph.from_grid`, or a batch of grids of one shape, which adds a dimension `graphs` before x.

    Raises:
        ValueError: if the fields differ in shape, the truth is not finite, or the graph is not a grid.
    """
    _check(prediction, truth)
    field, exact = to_grid(prediction, graph), to_grid(truth, graph)  # [..., channels, *grid]
    axes = tuple(range(-graph.dim - 1, -1))
    error = (field - exact).square().mean(dim=axes)
    return (error / (exact.var(dim=axes) + OFFICIAL_TINY)).sqrt()


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


def chunk_errors(
    prediction: Tensor,
    truth: Tensor,
    chunks: Sequence[int],
    *,
    p: int = 1,
    mean: Tensor | None = None,
    std: Tensor | None = None,
) -> Tensor:
    """RIGNO's relative errors `[samples, chunks]` of fields `[samples, times, nodes, channels]`.

    The p-norm runs over times, nodes and the channels of a chunk, all with weight 1 whatever the nodes' masses; where
    `mean` and `std` `[channels]` are given both fields are standardised by them first. Source: arXiv 2501.19205.

    Args:
        prediction: the estimate.
        truth: what it should be.
        chunks: the chunk of each channel, such as [0, 1, 1, 2] for density, velocity and pressure.
        p: 1 or 2.
        mean: of each channel.
        std: of each channel.

    Raises:
        ValueError: if the fields differ in shape, `chunks` does not name one for each channel, or one of `mean` and
            `std` is missing.
    """
    if prediction.shape != truth.shape or truth.dim() != 4:
        raise ValueError(
            f"both fields should be [samples, times, nodes, channels], got {list(prediction.shape)} and "
            f"{list(truth.shape)}: add the dimensions that are missing."
        )
    if len(chunks) != truth.shape[-1] or set(chunks) != set(range(max(chunks) + 1)):
        raise ValueError(
            f"`chunks` should number the chunks of {truth.shape[-1]} channels from 0 on, got {list(chunks)}."
        )
    if (mean is None) != (std is None):
        raise ValueError("`mean` and `std` should both be given or neither, got one of them: add the other.")
    if mean is not None and std is not None:
        prediction, truth = (prediction - mean) / std, (truth - mean) / std
    error, size = ((field.abs() ** p).sum(dim=(1, 2)) for field in (prediction - truth, truth))
    index = torch.as_tensor(chunks, device=truth.device)
    zeros = error.new_zeros(len(error), int(index.max()) + 1)
    error, size = (zeros.index_add(1, index, value) ** (1 / p) for value in (error, size))
    return error / (size + REFERENCE_TINY)


def channel_errors(prediction: Tensor, truth: Tensor, *, p: int = 1) -> Tensor:
    """`chunk_errors` with a chunk for each channel, `[samples, channels]`."""
    return chunk_errors(prediction, truth, range(truth.shape[-1]), p=p)


def median_of_means(errors: Tensor) -> Tensor:
    """Mean over chunks, then median over samples, of `[samples, chunks]`: the order of RIGNO's training script.

    >>> median_of_means(torch.tensor([[1.0, 3.0], [2.0, 8.0], [9.0, 0.0]]))
    tensor(4.5000)
    """
    return errors.mean(dim=-1).quantile(0.5)


def mean_of_medians(errors: Tensor) -> Tensor:
    """Median over samples, then mean over chunks: the order of RIGNO's test script.

    >>> mean_of_medians(torch.tensor([[1.0, 3.0], [2.0, 8.0], [9.0, 0.0]]))
    tensor(2.5000)
    """
    return errors.quantile(0.5, dim=0).mean()
