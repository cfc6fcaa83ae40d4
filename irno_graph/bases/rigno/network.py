"""RIGNO's network: encode to regional nodes, process between them, decode to the nodes.

Source: RIGNO (arXiv 2501.19205), section 3. Tensors inside are node-first, `[nodes, samples, channels]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from irno_graph.bases.rigno.edges import Edges
from irno_graph.bases.rigno.interaction import Interaction
from irno_graph.bases.rigno.regional import RegionalGraph
from irno_graph.nn import Affine, Block, lead_time_affines
from irno_graph.nn.memory import remembered
from irno_graph.nn.modes import is_eager


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


class Affines(NamedTuple):
    """Layer norms with their lead-time corrections: (message, update) of each interaction."""

    encode: tuple[Affine, Affine]
    encode_nodes: Affine
    process: list[tuple[Affine, Affine]]
    decode: tuple[Affine, Affine]


class Static(NamedTuple):
    """What depends on the graph alone: parts of first layers, latents of edges and regions."""

    p2r: Tensor  # [edges, 1, hidden]
    r2r: Tensor  # [edges, 1, edge_hidden]
    r2p: Tensor  # [edges, 1, hidden]
    regions: Tensor  # [regions, 1, node_hidden]


class RIGNONetwork(nn.Module):
    """u `[samples, nodes, in_channels]` normalised -> `[samples, nodes, channels]`.

    Args:
        in_channels: state channels, then coefficients.
        channels: of the output.
        architecture: sizes.
        coordinate_channels: of the coordinate features (one per axis, or 2 x frequencies per axis where periodic).
        dim: space dimension.

    Attributes:
        piecewise: whether messages are computed some thousand rows at a time on a CPU, within its cache; the result can
            be differentiated once. Otherwise, as on a GPU, under autocast and where torch compiles or transforms, plain
            operations do it all at once.
        recompute: whether activations are computed again in the backward pass, not kept: less memory, more time.
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
        self.piecewise = True
        self.features = in_channels + int(a.use_time) + int(a.use_lead_time)
        self.embed_p2r = _block(a, (dim + 1,), a.edge_hidden)
        self.embed_nodes = _block(a, (self.features, coordinate_channels), a.node_hidden)
        self.embed_regional = _block(a, (coordinate_channels + 1,), a.node_hidden)
        self.encode = _interaction(a)
        self.encode_nodes = _block(a, (a.node_hidden,), a.node_hidden, corrected=True)
        self.embed_r2r = _block(a, (dim + 1,), a.edge_hidden)
        self.process = nn.ModuleList(_interaction(a) for _ in range(a.processor_steps))
        self.embed_r2p = _block(a, (dim + 1,), a.edge_hidden)
        self.decode = _interaction(a)
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
        """Apply the network to u `[samples, nodes, in_channels]`.

        `time` and `lead_time`, `[samples or 1]` or `[samples or 1, graphs]`, are normalised, as u is.

        Where `regional` has query points, `at_query` `[samples, points, in_channels]` is u there, and so is the output.
        """
        affines, static = self.affines(lead_time), self.static(regional)
        nodes = self.node_latents(u, regional.node_features, regional.node_graph, time, lead_time)
        nodes, regions = self.encoded(nodes, regional, affines, static)
        regions = self.processed(regions, regional, affines, static)
        if regional.query_features is not None:
            if at_query is None:
                raise ValueError(
                    "a regional graph with query points needs `at_query`, got None: pass u there."
                )
            nodes = self.node_latents(at_query, regional.query_features, None, time, lead_time)
            nodes = nodes + self.encode_nodes(nodes, affine=affines.encode_nodes)
        return self.decoded(nodes, regions, regional, affines, static)

    def node_latents(
        self,
        u: Tensor,
        coordinates: Tensor,
        graph_of_node: Tensor | None,
        time: Tensor | None,
        lead_time: Tensor | None,
    ) -> Tensor:
        """First latents of nodes `[nodes, samples, node_hidden]` from u `[samples, nodes, in_channels]`."""
        parts = [u.transpose(0, 1)]
        wanted = (
            ("time", time, self.architecture.use_time),
            ("lead_time", lead_time, self.architecture.use_lead_time),
        )
        for name, value, used in wanted:
            if used:
                if value is None:
                    raise ValueError(f"this network takes `{name}` as an input, got None: pass it.")
                rows = value.to(u.dtype).view(len(value), -1).T  # [graphs or 1, samples or 1]
                if len(rows) > 1 and graph_of_node is not None:
                    rows = rows.index_select(0, graph_of_node)
                parts.append(rows.unsqueeze(-1).expand(u.shape[1], len(u), 1))
        return self.embed_nodes(torch.cat(parts, dim=-1), coordinates.unsqueeze(1).to(u.dtype))

    def encoded(
        self, nodes: Tensor, regional: RegionalGraph, affines: Affines, static: Static
    ) -> tuple[Tensor, Tensor]:
        """Latents of nodes `[nodes, samples, node_hidden]` and of regions `[regions, samples, node_hidden]`."""
        regions, _ = self._interact(
            self.encode, static.p2r, None, nodes, static.regions, regional.p2r, affines.encode
        )
        return nodes + self.encode_nodes(
            nodes, affine=affines.encode_nodes.of_rows(regional.node_graph)
        ), regions

    def processed(self, regions: Tensor, regional: RegionalGraph, affines: Affines, static: Static) -> Tensor:
        """Latents of regions after all messages between them."""
        edge: Tensor | None = static.r2r
        for step, own in zip(self.steps, affines.process, strict=True):
            regions, edge = self._interact(step, None, edge, regions, regions, regional.r2r, own)
        return regions

    def decoded(
        self, nodes: Tensor, regions: Tensor, regional: RegionalGraph, affines: Affines, static: Static
    ) -> Tensor:
        """The output `[samples, nodes, channels]` from both latents."""
        nodes, _ = self._interact(self.decode, static.r2p, None, regions, nodes, regional.r2p, affines.decode)
        return self.head(nodes).transpose(0, 1)

    def affines(self, lead_time: Tensor | None) -> Affines:
        """All layer norms, corrected for lead times `[samples]` or `[samples, graphs]`."""
        steps = [self.encode, *self.steps, self.decode]
        blocks = [block for step in steps for block in (step.message, step.update)] + [self.encode_nodes]
        tau = None if lead_time is None else lead_time.view(len(lead_time), -1).T
        *parts, encode_nodes = lead_time_affines(blocks, tau)
        first, *process, last = list(zip(parts[::2], parts[1::2], strict=True))
        return Affines(first, encode_nodes, process, last)

    @property
    def steps(self) -> list[Interaction]:
        """The exchanges of messages between regional nodes."""
        return [step for step in self.process if isinstance(step, Interaction)]

    def static(self, regional: RegionalGraph) -> Static:
        """What depends on the graph alone; without gradients it is kept for as long as weights and graph are."""
        used = [self.embed_p2r, self.embed_r2r, self.embed_r2p, self.embed_regional]
        parameters: list[Tensor] = [parameter for block in used for parameter in block.parameters()]
        parameters += [self.encode.message.tensors[0][0], self.decode.message.tensors[0][0]]
        pieces = self._pieces(regional.r2p)
        return remembered(self, regional, parameters, pieces, lambda: self._static(regional, pieces))

    def _static(self, regional: RegionalGraph, pieces: bool) -> Static:
        dtype = self.head.tensors[1].dtype

        def features(edges: Edges) -> Tensor:
            return (edges.by_receiver if pieces else edges).features.unsqueeze(1).to(dtype)

        return Static(
            self.encode.message.project(self.embed_p2r(features(regional.p2r)), 0),
            self.embed_r2r(features(regional.r2r)),
            self.decode.message.project(self.embed_r2p(features(regional.r2p)), 0),
            self.embed_regional(regional.regional_features.unsqueeze(1).to(dtype)),
        )

    def _pieces(self, edges: Edges) -> bool:
        device = edges.senders.device.type
        return self.piecewise and device == "cpu" and is_eager(device)

    def _interact(
        self,
        step: Interaction,
        projected: Tensor | None,
        edge: Tensor | None,
        sender: Tensor,
        receiver: Tensor,
        edges: Edges,
        affines: tuple[Affine, Affine],
    ) -> tuple[Tensor, Tensor | None]:
        if self._pieces(edges):
            return step.in_pieces(
                projected, edge, sender, receiver, edges.by_receiver, affines, recompute=self.recompute
            )
        if self.recompute and torch.is_grad_enabled():
            given = (projected, edge, sender, receiver, edges, affines)
            return checkpoint(step, *given, use_reentrant=False, preserve_rng_state=False)
        return step(projected, edge, sender, receiver, edges, affines)


def _interaction(a: Architecture) -> Interaction:
    message = _block(a, (a.edge_hidden, a.node_hidden, a.node_hidden), a.edge_hidden, corrected=True)
    return Interaction(message, _block(a, (a.node_hidden, a.edge_hidden), a.node_hidden, corrected=True))


def _block(a: Architecture, in_widths: tuple[int, ...], width: int, corrected: bool = False) -> Block:
    hidden = a.correction_hidden if corrected else None
    return Block(in_widths, width, hidden_layers=a.mlp_hidden_layers, correction_hidden=hidden)
