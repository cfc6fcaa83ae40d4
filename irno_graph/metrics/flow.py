"""Errors of flows that show what matters: fluctuations, vorticity and bands beside the published metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from irno_graph.data.sets.channels import ChannelGroups
from irno_graph.data.sets.statistics import FieldStatistics
from irno_graph.graph import Graph, graph_list, mass_mean, vorticity
from irno_graph.graph.pyg import Batch
from irno_graph.metrics.errors import TINY, chunk_errors, relative_l2

Energies = Callable[[Tensor], Tensor]  # of fields [..., nodes, channels], [..., bands, channels]


@dataclass(frozen=True)
class FlowReport:
    """Errors of states per group of channels, and of the vorticity; `[...]`, on a batch `[..., graphs]`.

    An error is infinite where the prediction is not finite. u' is u - mean with the data set's mean; velocity and
    vorticity are measured as they are.

    Attributes:
        relative: |prediction - truth| / |truth'| in the mass-weighted 2-norm, all channels of a group as one vector.
        scaled: root mean square of prediction - truth over the group's standard deviation in the data set; absent for
            the vorticity where the statistics have none.
        published: RIGNO's relative 1-norm of each snapshot, standardised per channel, without masses
            (`metrics.chunk_errors`); absent for the vorticity.
        bands: |P_b (prediction - truth)| / |P_b truth'| in each frequency band, `[..., bands]`; empty without energies.
        kept: |P_b prediction'| / |P_b truth'|, `[..., bands]`: below 1 where a band lost energy, whatever its phase.
        share: part of the energy of truth' in each band, `[..., bands]`: errors of bands without energy say little.
    """

    relative: dict[str, Tensor]
    scaled: dict[str, Tensor]
    published: dict[str, Tensor]
    bands: dict[str, Tensor]
    kept: dict[str, Tensor]
    share: dict[str, Tensor]


def flow_report(
    prediction: Tensor,
    truth: Tensor,
    graph: Graph,
    channels: Sequence[str],
    statistics: FieldStatistics,
    *,
    energies: Energies | None = None,
) -> FlowReport:
    """Errors of `prediction` in each group of its channels and in the vorticity.

    CE-Gauss has a density of 0.1 with fluctuations of 0.001, so that an error relative to the density itself is 0.1 %
    for almost any prediction. Relative to the fluctuation it is seen. Errors at high frequencies, of small weight in
    the velocity, are seen in the vorticity and in the bands.

    Args:
        prediction: states `[..., nodes, channels]`.
        truth: what they should be.
        graph: of the nodes, or a batch. There is a vorticity where it is in the plane, has cells, and the velocity
            has two components.
        channels: names of the fields' channels, such as ("rho", "vx", "vy", "p").
        statistics: of the training data, with these channels among others and their groups; also with a channel
            "vorticity", as `data.sets.Derived` gives it.
        energies: band energies of a field, such as `ChebyshevBank(graph).band_energy` or
            `lambda field: basis.band_energy(field, edges)`.

    Raises:
        ValueError: if shapes or channels do not fit each other, or the truth is not finite.

    >>> graph = Graph.from_grid((4, 4), period=(1.0, 1.0))
    >>> truth = torch.linspace(0.09, 0.11, 16).reshape(16, 1)
    >>> known = FieldStatistics.of(["rho"], torch.tensor([0.1]), torch.tensor([0.006]))
    >>> report = flow_report(0.1 + 0.5 * (truth - 0.1), truth, graph, ["rho"], known)
    >>> round(float(report.relative["density"]), 4)
    0.5
    """
    known = statistics.only(channels)
    groups, device = known.groups, truth.device
    mean, std, deviation = (
        values.to(device) for values in (known.mean, known.moments.std, known.grouped_deviation)
    )
    _check_channels(prediction, truth, groups)
    ours, exact = (_parts(field, graph, groups, mean) for field in (prediction, truth))
    sizes = {name: deviation[groups.columns(name)[0]] for name in groups.names}
    if "vorticity" in statistics.channels and "vorticity" in exact:
        sizes["vorticity"] = statistics.only(["vorticity"]).deviation[0].to(device)
    scaled = {
        name: mass_mean((ours[name] - exact[name]).square(), graph).mean(dim=-1).sqrt() / sizes[name]
        for name in exact
        if name in sizes and sizes[name] > 0
    }
    relative = {name: relative_l2(ours[name], exact[name], graph, joint=True) for name in exact}
    spectra = _spectra(ours, exact, energies) if energies is not None else ({}, {}, {})
    published = _published(prediction, truth, graph, groups, mean, std)
    return FlowReport(*(_infinite(part) for part in (relative, scaled, published, *spectra)))


def fluctuation_errors(
    prediction: Tensor, truth: Tensor, graph: Graph, groups: ChannelGroups, mean: Tensor
) -> dict[str, Tensor]:
    """`FlowReport.relative` alone: `|prediction - truth| / |truth'|` per group, and of the vorticity.

    Args:
        prediction: states `[..., nodes, channels]`.
        truth: likewise.
        graph: of the nodes.
        groups: of the channels.
        mean: of each channel in the data set `[channels]`.

    Raises:
        ValueError: if shapes do not fit, or the truth is not finite.
    """
    _check_channels(prediction, truth, groups)
    ours, exact = (
        _parts(field, graph, groups, mean.to(truth.device, torch.float64)) for field in (prediction, truth)
    )
    return {name: relative_l2(ours[name], exact[name], graph, joint=True) for name in exact}


def _check_channels(prediction: Tensor, truth: Tensor, groups: ChannelGroups) -> None:
    for name, field in (("prediction", prediction), ("truth", truth)):
        if field.dim() < 2 or field.shape[-1] != len(groups.channels):
            raise ValueError(
                f"`{name}` should have shape [..., nodes, channels={len(groups.channels)}] "
                f"({', '.join(groups.channels)}), got {list(field.shape)}: pick these channels."
            )
    if prediction.shape != truth.shape:
        raise ValueError(
            f"`prediction` and `truth` should have one shape, got {list(prediction.shape)} and {list(truth.shape)}."
        )


def _parts(field: Tensor, graph: Graph, groups: ChannelGroups, mean: Tensor) -> dict[str, Tensor]:
    """The channels of each group, `[..., nodes, channels of the group]`, without their mean but for the velocity."""
    state = field.double()
    found = {}
    for name in groups.names:
        columns = groups.columns(name)
        found[name] = state[..., columns] - (0.0 if name == "velocity" else mean[columns])
    velocity = found.get("velocity")
    plane = graph.pos.shape[-1] == 2 and len(graph.cell_kind) > 0
    if velocity is not None and velocity.shape[-1] == 2 and plane and "vorticity" not in found:
        found["vorticity"] = vorticity(velocity, graph).unsqueeze(-1)
    return found


def _published(
    prediction: Tensor, truth: Tensor, graph: Graph, groups: ChannelGroups, mean: Tensor, std: Tensor
) -> dict[str, Tensor]:
    columns = []
    for nodes in _nodes(graph):
        parts = (field.double()[..., nodes, :] for field in (prediction, truth))
        ours, exact = (part.reshape(-1, 1, *part.shape[-2:]) for part in parts)  # each snapshot alone
        errors = chunk_errors(ours, exact, groups.index, mean=mean, std=std)  # [samples, chunks]
        columns.append(errors.reshape(*truth.shape[:-2], len(groups.names)))
    found = torch.stack(columns, dim=-2) if isinstance(graph, Batch) else columns[0]
    return dict(zip(groups.names, found.unbind(dim=-1), strict=True))


def _nodes(graph: Graph) -> Iterator[slice]:
    """The nodes of each graph of a batch, or of the one graph."""
    first = 0
    for own in graph_list(graph):
        yield slice(first, first + len(own.pos))
        first += len(own.pos)


def _spectra(
    ours: dict[str, Tensor], exact: dict[str, Tensor], energies: Energies
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Errors, amplitudes and shares of the energy per band."""
    bands, kept, share = {}, {}, {}
    for name in exact:
        error, energy, truth = (
            energies(field).sum(dim=-1).clamp_min(0.0)  # polynomial filters may fall below 0 by their error
            for field in (ours[name] - exact[name], ours[name], exact[name])
        )
        bands[name] = (error / truth.clamp_min(TINY)).sqrt()
        kept[name] = (energy / truth.clamp_min(TINY)).sqrt()
        share[name] = truth / truth.sum(dim=-1, keepdim=True).clamp_min(TINY)
    return bands, kept, share


def _infinite(errors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.where(error.isnan(), torch.inf, error) for name, error in errors.items()}
