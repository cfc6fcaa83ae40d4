"""Fourier neural operators of the library neuraloperator as bases on grid graphs."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from irno_graph.graph import Graph, graph_list
from irno_graph.graph.grid_fields import common_shape, to_grid, to_nodes
from irno_graph.nn.fields import check_field


@dataclass(frozen=True)
class FourierDetails:
    """What is rarely changed of a Fourier neural operator.

    Attributes:
        positions: whether the coordinates, in [0, 1] along each axis, are inputs too. None: where an axis is not
            periodic. Without them the operator commutes with shifts of a periodic grid, as the equations do.
        lifting: width of the pointwise networks at both ends; None for twice the hidden channels.
        mixing: whether a pointwise network follows each Fourier layer (version 2 of neuraloperator); version 0.3, with
            which the models of The Well were trained, has none.
        padding: zeros along axes that are not periodic, as a part of the grid; the Fourier transform wraps.
        turned: whether the network sees the axes x first, (nx, ny); else as in (ny, nx).
    """

    positions: bool | None = None
    lifting: int | None = None
    mixing: bool = True
    padding: float = 0.125
    turned: bool = False


class FNO(nn.Module):
    """The Fourier neural operator of neuraloperator as a base on grids of one, two or three dimensions.

    Fields are padded with zeros along axes that are not periodic, never along periodic ones. The weights do not depend
    on the resolution. Spectral products are in single precision. It works on the values as they are given:
    `Standardised` gives it physical units.

    Args:
        in_channels: of x.
        channels: of h0.
        graph: a graph of `Graph.from_grid`, for its dimension and periodic axes.
        modes: Fourier modes kept per axis, one number or one for each, as the network sees the axes.
        hidden: channels within.
        layers: Fourier layers.
        details: see `FourierDetails`.

    Raises:
        ImportError: without neuraloperator (extra `grid`).
        ValueError: if the graph is not a grid, or `modes` does not fit its dimension.
    """

    kind: ClassVar[str] = "FNOBase"  # of the description in a model file, where FNO is a corrector

    def __init__(
        self,
        in_channels: int,
        channels: int,
        graph: Graph,
        *,
        modes: int | tuple[int, ...] = 16,
        hidden: int = 64,
        layers: int = 4,
        details: FourierDetails | None = None,
    ) -> None:
        super().__init__()
        self.in_channels, self.channels, self.hidden, self.layers = in_channels, channels, hidden, layers
        self.details = details or FourierDetails()
        self.periodic = grid_axes(graph)[1]
        self.modes = (modes,) * len(self.periodic) if isinstance(modes, int) else tuple(modes)
        if len(self.modes) != len(self.periodic) or min(self.modes) < 1:
            raise ValueError(
                f"`modes` should be a positive number for each of {len(self.periodic)} axes, got {modes}."
            )
        self.network = self._network()
        self.register_state_dict_post_hook(_drop_description)

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """h0 `[..., nodes, channels]` of x `[..., nodes, in_channels]`, at the resolution of the graph.

        Raises:
            ValueError: if the graph is not a grid with the same periodic axes, or x does not fit it.
        """
        shape, periodic = grid_axes(graph)
        if periodic != self.periodic:
            raise ValueError(
                f"this base is for grids with the periodic axes {self.periodic}, the slowest first, got {periodic}: "
                "make another for this graph."
            )
        check_field(x, graph, self.in_channels, "x")
        values = to_grid(x, graph)
        axes = tuple(range(-len(shape), 0))
        flat = values.reshape(-1, self.in_channels, *shape)  # [batch, in_channels, *grid]
        if self.details.turned:
            flat = flat.movedim(axes, axes[::-1])
        found = self.network(flat) if self.details.mixing else _unmixed(self.network, flat)
        if self.details.turned:
            found = found.movedim(axes, axes[::-1])
        return to_nodes(found.reshape(*values.shape[: -1 - len(shape)], *found.shape[1:]), graph)

    def config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {
            "in_channels": self.in_channels,
            "channels": self.channels,
            "periodic": list(self.periodic),
            "modes": list(self.modes),
            "hidden": self.hidden,
            "layers": self.layers,
            "details": dataclasses.asdict(self.details),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> FNO:
        """The base that `config` describes, with new weights."""
        settings = dict(config)
        period = [1.0 if closed else None for closed in reversed(settings.pop("periodic"))]
        details = FourierDetails(**settings.pop("details"))
        modes = tuple(settings.pop("modes"))
        graph = Graph.from_grid((4,) * len(period), period=period)
        return cls(graph=graph, modes=modes, details=details, **settings)

    def _network(self, rank: float | None = None) -> nn.Module:
        """neuraloperator's module; a `rank` factorises its weights (Tucker)."""
        details = self.details
        lifting = 2 * self.hidden if details.lifting is None else details.lifting
        positions = not all(self.periodic) if details.positions is None else details.positions
        padding = [0.0 if closed else details.padding for closed in self.periodic]
        if details.turned:
            padding.reverse()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # neuraloperator's own, at its import and of factorised weights
            try:
                from neuralop import models
            except ImportError as error:
                raise ImportError(
                    "Fourier neural operators need neuraloperator: pip install 'irno-graph[grid]'."
                ) from error
            return models.FNO(
                n_modes=self.modes,
                in_channels=self.in_channels,
                out_channels=self.channels,
                hidden_channels=self.hidden,
                n_layers=self.layers,
                lifting_channel_ratio=lifting / self.hidden,
                projection_channel_ratio=lifting / self.hidden,
                positional_embedding="grid" if positions else None,
                domain_padding=padding if any(padding) else None,
                use_channel_mlp=details.mixing,
                factorization=None if rank is None else "Tucker",
                rank=1.0 if rank is None else rank,
            )


class TFNO(FNO):
    """`FNO` whose spectral weights are Tucker factorised.

    Args:
        in_channels: see `FNO`, as all that follow.
        channels: of h0.
        graph: a grid.
        modes: per axis.
        hidden: channels within.
        layers: Fourier layers.
        rank: share of the parameters that the factorised weights keep, about.
        details: see `FourierDetails`.
    """

    kind: ClassVar[str] = "TFNOBase"

    def __init__(
        self,
        in_channels: int,
        channels: int,
        graph: Graph,
        *,
        modes: int | tuple[int, ...] = 16,
        hidden: int = 64,
        layers: int = 4,
        rank: float = 0.1,
        details: FourierDetails | None = None,
    ) -> None:
        if not rank > 0:
            raise ValueError(f"`rank` should be positive, got {rank}.")
        self.rank = rank
        super().__init__(
            in_channels, channels, graph, modes=modes, hidden=hidden, layers=layers, details=details
        )

    def config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {**super().config(), "rank": self.rank}

    def _network(self, rank: float | None = None) -> nn.Module:
        return super()._network(self.rank)


def _unmixed(network: Any, values: Tensor) -> Tensor:
    """`network(values)` with one activation per Fourier layer, as in version 0.3.

    Version 2 activates before and after the pointwise network that mixes channels, so twice where there is none.
    """
    if network.positional_embedding is not None:
        values = network.positional_embedding(values)
    values = network.lifting(values)
    if network.domain_padding is not None:
        values = network.domain_padding.pad(values)
    blocks = network.fno_blocks
    for layer, (convolution, skip) in enumerate(zip(blocks.convs, blocks.fno_skips, strict=True)):
        values = convolution(values) + skip(values)
        if layer < len(blocks.convs) - 1:
            values = network.non_linearity(values)
    if network.domain_padding is not None:
        values = network.domain_padding.unpad(values)
    return network.projection(values)


def grid_axes(graph: Graph) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Points along each axis of a grid, or of each grid of a batch, and whether it is periodic, the slowest first.

    Raises:
        ValueError: if a graph is not a grid, or those of a batch differ.
    """
    grids = {(common_shape(part), part.period) for part in graph_list(graph)}
    if len(grids) > 1:
        raise ValueError(
            f"a batch should hold grids of one shape and period, got {len(grids)}: batch them apart."
        )
    shape, period = grids.pop()
    return shape, tuple(length is not None for length in reversed(period or (None,) * len(shape)))


def _drop_description(module: nn.Module, state: dict[str, Any], prefix: str, local: Any) -> None:
    """neuraloperator puts its constructor's arguments among the weights."""
    state.pop("_metadata", None)
