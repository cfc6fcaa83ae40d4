"""Message passing without edge-sized matrix products; tensors are node-first, `[nodes, samples, channels]`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from irno_graph.graph.hierarchy import Links
from irno_graph.nn import gather, segment_mean

EDGE_HIDDEN = 32


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
