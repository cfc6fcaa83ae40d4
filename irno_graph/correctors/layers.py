"""Message passing without edge-sized matrix products; tensors are node-first, `[nodes, samples, channels]`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from irno_graph.graph import Graph, graph_list
from irno_graph.graph.cache import per_graph
from irno_graph.graph.hierarchy import Links
from irno_graph.nn import gather, segment_mean
from irno_graph.spectral import EigenBasis

EDGE_HIDDEN = 32
DISTANCES = 16  # wave kernels of a spectral filter
REACH = 1.2  # the longest of them, in sizes of the domain


class Message(nn.Module):
    """mean over links of silu(W_s h_source + W_t h_target + W_e e) * (1 + W_g e), then W_2 at the target.

    W_2 commutes with the mean and W_s, W_t are applied at the nodes: what remains on the links is a gather, a
    sum, an activation and a product with numbers that depend on the geometry alone.
    """

    def __init__(self, width: int, dim: int, *, from_target: bool = True) -> None:
        super().__init__()
        self.source = nn.Linear(width, width)
        self.target = nn.Linear(width, width, bias=False) if from_target else None
        self.embed = nn.Linear(dim + 2, EDGE_HIDDEN)
        self.geometry = nn.Linear(EDGE_HIDDEN, 2 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, source: Tensor, target: Tensor | None, links: Links) -> Tensor:
        """What arrives at the targets, `[targets, samples, width]`."""
        embedded = functional.silu(self.embed(links.features.to(source.dtype)))
        shift, gate = self.geometry(embedded).unsqueeze(1).chunk(2, dim=-1)  # [links, 1, width] each
        message = gather(self.source(source), links.sources) + shift
        if self.target is not None and target is not None:
            message = message + gather(self.target(target), links.targets)
        active = functional.silu(message)
        gated = torch.addcmul(active, active, gate)
        return self.out(segment_mean(gated, links.targets, links.inverse_degree))


class GraphLayer(nn.Module):
    """h <- h + W_4 silu(W_3 n + message(n)), n = layer norm of h."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.message = Message(width, dim)
        self.own = nn.Linear(width, width, bias=False)
        self.mix = nn.Linear(width, width)

    def forward(self, h: Tensor, links: Links) -> Tensor:
        """One step on the links of a level."""
        normed = self.norm(h)
        return h + self.mix(functional.silu(self.own(normed) + self.message(normed, normed, links)))


class Transfer(nn.Module):
    """What the nodes of one level send to those of the next, `[targets, samples, width]`."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.message = Message(width, dim, from_target=False)

    def forward(self, h: Tensor, links: Links) -> Tensor:
        """Messages along `links`, averaged at their targets."""
        return self.message(self.norm(h), None, links)


@dataclass(frozen=True)
class Waves:
    """The eigenbases of a graph, or of each graph of a batch, as a spectral filter takes them.

    Attributes:
        vectors: one `[nodes, modes]` per graph; `weighted` the same times the masses.
        waves: per graph `[modes, 2 * DISTANCES]`, cos(omega s) and sin(omega s) for distances s up to REACH
            sizes of the domain, omega the square root of the eigenvalue.
    """

    vectors: tuple[Tensor, ...]
    weighted: tuple[Tensor, ...]
    waves: tuple[Tensor, ...]


@per_graph
def waves(graph: Graph, modes: int, dtype: torch.dtype) -> Waves:
    """The first `modes` modes (at most the number of nodes) of each graph, in `dtype` on the graph's device."""
    parts = graph_list(graph)
    bases = [EigenBasis.compute(part, min(modes, len(part.pos))).to(graph.pos.device) for part in parts]
    found = []
    for part, basis in zip(parts, bases, strict=True):
        size = float(part.mass.sum()) ** (1.0 / part.pos.shape[1])
        distance = torch.linspace(0.0, REACH * size, DISTANCES, dtype=torch.float64, device=graph.pos.device)
        rounding = 1e-10 * basis.eigenvalues[-1]  # what an eigensolver leaves of the eigenvalue 0
        frequency = basis.eigenvalues.where(basis.eigenvalues > rounding, 0.0).sqrt()
        angle = frequency[:, None] * distance
        found.append(torch.cat([angle.cos(), angle.sin()], dim=-1).to(dtype))
    return Waves(
        tuple(basis.vectors.to(dtype) for basis in bases),
        tuple((basis.vectors * basis.mass[:, None]).to(dtype) for basis in bases),
        tuple(found),
    )


class SpectralFilter(nn.Module):
    """h <- h + W_2 silu(V g(omega) V^T M W_1 n + W_3 n), n = layer norm of h, g diagonal in the eigenbasis.

    g is a combination of cos(omega s) and sin(omega s): what a wave does that travels the distance s. It is a
    function of the eigenvalue, so neither the signs nor the rotations that an eigensolver picks matter, and the
    same weights serve every mesh.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.enter = nn.Linear(width, width, bias=False)
        self.filter = nn.Linear(2 * DISTANCES, width, bias=False)
        self.own = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)

    def forward(self, h: Tensor, graph_waves: Waves) -> Tensor:
        """One step on node latents `[nodes, samples, width]`."""
        normed = self.norm(h)
        entered = self.enter(normed)
        sizes = [len(vectors) for vectors in graph_waves.vectors]
        filtered = []
        for part, vectors, weighted, kernels in zip(
            entered.split(sizes), graph_waves.vectors, graph_waves.weighted, graph_waves.waves, strict=True
        ):
            flat = part.reshape(len(part), -1)  # [nodes, samples * width]
            modes = (weighted.T @ flat).view(-1, *part.shape[1:])  # [modes, samples, width]
            modes = modes * self.filter(kernels).unsqueeze(1)
            filtered.append((vectors @ modes.reshape(len(modes), -1)).view_as(part))
        return h + self.leave(functional.silu(torch.cat(filtered) + self.own(normed)))
