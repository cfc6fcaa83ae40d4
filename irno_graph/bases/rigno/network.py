"""RIGNO's network: encode to regional nodes, process between them, decode to the nodes.

Source: RIGNO (arXiv 2501.19205), section 3. Tensors inside are node-first, `[nodes, samples, channels]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from irno_graph.bases.rigno.edges import Edges
from irno_graph.bases.rigno.regional import RegionalGraph
from irno_graph.nn import Block, gather, segment_mean


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network.

    Attributes:
        processor_steps: message-passing steps between regional nodes, each with its own weights.
        node_hidden: channels at nodes; `edge_hidden` on edges.
        mlp_hidden_layers: hidden layers of each perceptron.
        correction_hidden: hidden width of the lead-time corrections, None for none.
        head_hidden: hidden width of the last perceptron; None is `node_hidden` (the reference has its channels).
        use_time: whether time, and `use_lead_time` whether lead time, is a node feature.
    """

    processor_steps: int = 12
    node_hidden: int = 128
    edge_hidden: int = 128
    mlp_hidden_layers: int = 1
    correction_hidden: int | None = 16
    head_hidden: int | None = None
    use_time: bool = True
    use_lead_time: bool = True


class Interaction(nn.Module):
    """m = f(e, s, r) on the edges; r <- r + g(r, mean m) at the receivers (residual at the nodes)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = architecture
        self.message = _block(a, (a.edge_hidden, a.node_hidden, a.node_hidden), a.edge_hidden, corrected=True)
        self.update = _block(a, (a.node_hidden, a.edge_hidden), a.node_hidden, corrected=True)

    def forward(
        self, edge: Tensor, sender: Tensor, receiver: Tensor, edges: Edges, lead_time: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """New receiver latents `[receivers, samples, channels]` and the messages `[edges, samples, channels]`."""
        first = gather(self.message.project(sender, 1, bias=True), edges.senders)
        first = first.add_(gather(self.message.project(receiver, 2), edges.receivers))
        first = self.message.accumulate(first, edge, 0)
        message = self.message.finish(first, lead_time)
        mean = segment_mean(message, edges.receivers, edges.inverse_degree)
        return receiver + self.update(receiver, mean, lead_time=lead_time), message


class RIGNONetwork(nn.Module):
    """u `[samples, nodes, in_channels]` normalised -> `[samples, nodes, channels]`.

    Args:
        in_channels: state channels, then coefficients.
        channels: of the output.
        architecture: sizes.
        coordinate_channels: of the coordinate features (one per axis, or 2 x frequencies per axis where periodic).
        dim: space dimension.

    Attributes:
        recompute: whether the messages' activations are computed again in the backward pass instead of kept:
            less memory for more time.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        architecture: Architecture,
        coordinate_channels: int,
        dim: int = 2,
    ) -> None:
        super().__init__()
        a = architecture
        self.architecture = a
        self.recompute = False
        self.features = in_channels + int(a.use_time) + int(a.use_lead_time)
        self.embed_p2r = _block(a, (dim + 1,), a.edge_hidden)
        self.embed_nodes = _block(a, (self.features, coordinate_channels), a.node_hidden)
        self.embed_regional = _block(a, (coordinate_channels + 1,), a.node_hidden)
        self.encode = Interaction(a)
        self.encode_nodes = _block(a, (a.node_hidden,), a.node_hidden, corrected=True)
        self.embed_r2r = _block(a, (dim + 1,), a.edge_hidden)
        self.process = nn.ModuleList(Interaction(a) for _ in range(a.processor_steps))
        self.embed_r2p = _block(a, (dim + 1,), a.edge_hidden)
        self.decode = Interaction(a)
        self.head = Block(
            (a.node_hidden,),
            channels,
            hidden_layers=a.mlp_hidden_layers,
            norm=False,
            hidden_width=a.node_hidden if a.head_hidden is None else a.head_hidden,
        )

    def forward(
        self,
        u: Tensor,
        regional: RegionalGraph,
        *,
        time: Tensor | None = None,
        lead_time: Tensor | None = None,
        at_query: Tensor | None = None,
    ) -> Tensor:
        """Apply the network; `time` and `lead_time` `[samples]` are normalised, as `u` is.

        Where `regional` has query points, `at_query` `[samples, points, in_channels]` is u there, and so is the output.
        """
        nodes, regions = self.encoded(u, regional, time=time, lead_time=lead_time)
        regions = self.processed(regions, regional, lead_time=lead_time)
        if regional.query_features is not None:
            if at_query is None:
                raise ValueError(
                    "a regional graph with query points needs `at_query`, got None: pass u there."
                )
            nodes = self._node_latents(at_query, regional.query_features, time, lead_time)
            nodes = nodes + self.encode_nodes(nodes, lead_time=lead_time)
        return self.decoded(nodes, regions, regional, lead_time=lead_time)

    def encoded(
        self, u: Tensor, regional: RegionalGraph, *, time: Tensor | None, lead_time: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Latents of nodes `[nodes, samples, node_hidden]` and of regions `[regions, samples, node_hidden]`."""
        nodes = self._node_latents(u, regional.node_features, time, lead_time)
        regions = self.embed_regional(regional.regional_features.unsqueeze(1).to(u.dtype))
        edge = _static(self.embed_p2r, regional.p2r, u)
        regions, _ = self._interact(self.encode, edge, nodes, regions, regional.p2r, lead_time)
        return nodes + self.encode_nodes(nodes, lead_time=lead_time), regions

    def processed(self, regions: Tensor, regional: RegionalGraph, *, lead_time: Tensor | None) -> Tensor:
        """Latents of regions after all messages between them."""
        edge = _static(self.embed_r2r, regional.r2r, regions)
        for step in self.process:
            regions, message = self._interact(step, edge, regions, regions, regional.r2r, lead_time)
            edge = edge + message
        return regions

    def decoded(
        self, nodes: Tensor, regions: Tensor, regional: RegionalGraph, *, lead_time: Tensor | None
    ) -> Tensor:
        """The output `[samples, nodes, channels]` from both latents."""
        edge = _static(self.embed_r2p, regional.r2p, regions)
        nodes, _ = self._interact(self.decode, edge, regions, nodes, regional.r2p, lead_time)
        return self.head(nodes).transpose(0, 1)

    def _interact(self, step: nn.Module, *arguments: Tensor | Edges | None) -> tuple[Tensor, Tensor]:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(step, *arguments, use_reentrant=False, preserve_rng_state=False)
        return step(*arguments)

    def _node_latents(
        self, u: Tensor, coordinates: Tensor, time: Tensor | None, lead_time: Tensor | None
    ) -> Tensor:
        return self.embed_nodes(self._node_inputs(u, time, lead_time), coordinates.unsqueeze(1).to(u.dtype))

    def _node_inputs(self, u: Tensor, time: Tensor | None, lead_time: Tensor | None) -> Tensor:
        parts = [u.transpose(0, 1)]
        wanted = (
            ("time", time, self.architecture.use_time),
            ("lead_time", lead_time, self.architecture.use_lead_time),
        )
        for name, value, used in wanted:
            if used:
                if value is None:
                    raise ValueError(f"this network takes `{name}` as an input, got None: pass it.")
                parts.append(value.to(u.dtype).view(1, -1, 1).expand(u.shape[1], u.shape[0], 1))
        return torch.cat(parts, dim=-1)  # [nodes, samples, features]


def _static(block: nn.Module, edges: Edges, like: Tensor) -> Tensor:
    return block(edges.features.unsqueeze(1).to(like.dtype))  # [edges, 1, channels]


def _block(a: Architecture, in_widths: tuple[int, ...], width: int, corrected: bool = False) -> Block:
    hidden = a.correction_hidden if corrected else None
    return Block(in_widths, width, hidden_layers=a.mlp_hidden_layers, correction_hidden=hidden)
