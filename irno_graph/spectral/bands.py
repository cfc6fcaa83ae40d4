"""Eigenbases and band energies of every graph of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from irno_graph.graph import Graph, graph_list
from irno_graph.spectral.eigenbasis import EigenBasis


def eigenbases(graph: Graph, modes: int = 128) -> list[EigenBasis]:
    """The bases of the graphs of a batch, in order: `modes` lowest modes, or all of a graph with fewer nodes."""
    return [EigenBasis.compute(own, min(modes, len(own.pos))) for own in graph_list(graph)]


def band_energies(bases: Sequence[EigenBasis], field: Tensor, edges: Sequence[float] | Tensor) -> Tensor:
    """Energies `[..., graphs, bands + 1, channels]` of `field` `[..., nodes, channels]` of a batch, per graph.

    Entry g is `bases[g].band_energy` of the nodes of graph g; the graphs may differ in size.

    Raises:
        ValueError: if the nodes of the bases are not those of the field.
    """
    sizes = [len(basis.mass) for basis in bases]
    if field.ndim < 2 or field.shape[-2] != sum(sizes):
        raise ValueError(
            f"`field` should have shape [..., nodes={sum(sizes)}, channels], got {list(field.shape)}: "
            "pass the bases of this batch."
        )
    own = zip(bases, field.split(sizes, dim=-2), strict=True)
    return torch.stack([basis.band_energy(part, edges) for basis, part in own], dim=-3)
