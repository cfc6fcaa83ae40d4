"""Bases whose operator takes a coarse grid and gives a finer one.

>>> import torch
>>> coarse, fine = Graph.from_grid((8, 8), period=(1.0, 1.0)), Graph.from_grid((32, 32), period=(1.0, 1.0))
>>> base = WDSR(2, 1, coarse, fine, hidden=8, blocks=2)
>>> x = base.lift(torch.randn(5, 64, 2))
>>> base(x, fine).shape
torch.Size([5, 1024, 1])
"""

from __future__ import annotations

from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from irno_graph.bases.grid import GridBase
from irno_graph.bases.sphere import SphereBase
from irno_graph.graph import Graph
from irno_graph.graph.resolution import Resolution, described, rebuilt
from irno_graph.nn.convolution import Convolution, Periodic
from irno_graph.nn.fields import check_field


class SuperResolution(nn.Module):
    """A base on a fine grid from a module `[batch, in_channels, *coarse shape] -> [batch, channels, *fine shape]`.

    x lives on the fine nodes, where the corrector sees it: `lift` brings a coarse field there, linear along each axis,
    and the base lowers x again before it asks the module. lower(lift(f)) = f to rounding, so the module sees the coarse
    field itself; of any other x it sees the coarse field whose lift is nearest in the masses (see `Resolution`).

    Args:
        model: the module; in physical units, as every base.
        coarse: its input's grid, of `Graph.from_grid` or `Graph.from_sphere`.
        fine: its output's, of the same domain.

    Raises:
        ValueError: if the graphs are no such pair, or the fine one does not tell all coarse fields apart.
    """

    def __init__(self, model: nn.Module, coarse: Graph, fine: Graph) -> None:
        super().__init__()
        self.resolution = Resolution(coarse, fine)
        lowered = _Lowered(model, self.resolution)
        self.base = SphereBase(lowered, fine) if fine.sphere_shape else GridBase(lowered, fine)

    def extra_repr(self) -> str:
        """The shapes."""
        return f"coarse={self.resolution.shapes[0]}, fine={self.resolution.shapes[1]}"

    def lift(self, field: Tensor) -> Tensor:
        """A field `[..., coarse nodes, channels]` as x `[..., fine nodes, channels]`."""
        return self.resolution.lift(field)

    def lower(self, x: Tensor) -> Tensor:
        """`[..., fine nodes, channels]` on the coarse nodes `[..., coarse nodes, channels]`: undoes `lift`."""
        return self.resolution.lower(x)

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """h0 `[..., fine nodes, channels]` of x `[..., fine nodes, in_channels]`.

        Raises:
            ValueError: if the graph is not the fine grid or a batch of it, x does not fit it, or the module's value has
                another shape than it should.
        """
        return self.base(x, graph)


class _Lowered(nn.Module):
    """The module on values at the fine points, lowered before."""

    def __init__(self, model: nn.Module, resolution: Resolution) -> None:
        super().__init__()
        self.model, self.resolution = model, resolution

    def forward(self, values: Tensor) -> Tensor:
        """`[batch, channels, *fine shape]` of `[batch, in_channels, *fine shape]`."""
        found = self.model(self.resolution.lower_values(values))
        coarse, fine = self.resolution.shapes
        if found.ndim != values.ndim or len(found) != len(values) or tuple(found.shape[2:]) != fine:
            wanted = ", ".join(map(str, (len(values), "channels", *fine)))
            raise ValueError(
                f"`model` should turn fields on {coarse} points into [{wanted}], got {list(found.shape)}."
            )
        return found


class WDSR(nn.Module):
    """Super-resolution with wide activation: up(C_5 u) + up(C_3 B_n ... B_1 C_3 u) of the coarse field u.

    B v = v + C_3 relu(C_3 v) with `expansion` times the channels between, C_w a convolution of width w with normalised
    weights, `up` the pixel shuffle, one factor for each axis: channel (c f_y + i) f_x + j becomes point (i, j) of a
    coarse one's block. Where both grids have points at the ends of an axis that does not close, what the last block has
    beyond the end is cut. Convolutions wrap around periodic axes, on the sphere the longitudes, and repeat the last
    value on others. So the base commutes with shifts by coarse cells of a periodic grid. It works on the values as they
    are given: `Standardised` gives it physical units. `irno_graph.save` keeps it. About 600,000 weights in the plane
    with factors of 4 and one channel.
    Source: Yu et al., arXiv 1808.08718, the network WDSR-A.

    Args:
        in_channels: of x.
        channels: of h0.
        coarse: the grid of the input, see `SuperResolution`.
        fine: that of the output, an integer times finer along each axis, see `Resolution.factors`.
        hidden: channels between the blocks.
        blocks: how many.
        expansion: channels within a block, in units of `hidden`.

    Raises:
        ValueError: if the graphs do not fit each other, a factor is not an integer, or nodes were renumbered (a model
            file does not hold their order).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        coarse: Graph,
        fine: Graph,
        *,
        hidden: int = 32,
        blocks: int = 8,
        expansion: int = 4,
    ) -> None:
        super().__init__()
        if min(in_channels, channels, hidden, expansion) < 1 or blocks < 0:
            raise ValueError(
                f"channels, `hidden` and `expansion` should be positive, got {in_channels}, {channels}, {hidden} and "
                f"{expansion} with {blocks} blocks."
            )
        for name, graph in (("coarse", coarse), ("fine", fine)):
            if graph.get("original_index") is not None:
                raise ValueError(
                    f"`{name}` should have its nodes in rows, got others: make it without `order`."
                )
        self.in_channels, self.channels = in_channels, channels
        self.hidden, self.expansion = hidden, expansion
        resolution = Resolution(coarse, fine)
        network = _WideNetwork(
            in_channels, channels, resolution, hidden=hidden, blocks=blocks, expansion=expansion
        )
        self.base = SuperResolution(network, coarse, fine)
        self._grids = {"coarse": described(coarse), "fine": described(fine)}
        self.blocks = blocks

    def lift(self, field: Tensor) -> Tensor:
        """A field `[..., coarse nodes, channels]` as x `[..., fine nodes, channels]`."""
        return self.base.lift(field)

    def lower(self, x: Tensor) -> Tensor:
        """`[..., fine nodes, channels]` on the coarse nodes `[..., coarse nodes, channels]`: undoes `lift`."""
        return self.base.lower(x)

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """h0 `[..., fine nodes, channels]` of x `[..., fine nodes, in_channels]`; raises as `SuperResolution`."""
        check_field(x, graph, self.in_channels, "x")
        return self.base(x, graph)

    def config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        names = ("in_channels", "channels", "hidden", "blocks", "expansion")
        return {**{name: getattr(self, name) for name in names}, **self._grids}

    @staticmethod
    def from_config(config: dict[str, Any]) -> WDSR:
        """The base that `config` describes, with new weights."""
        grids = {name: rebuilt(config[name]) for name in ("coarse", "fine")}
        return WDSR(**{**config, **grids})


class _WideBlock(nn.Module):
    """v + C relu(C v), wide between."""

    def __init__(self, hidden: int, expansion: int, dim: int) -> None:
        super().__init__()
        self.widen = _normalised(hidden, expansion * hidden, dim)
        self.narrow = _normalised(expansion * hidden, hidden, dim)

    def forward(self, field: Tensor, periodic: Periodic) -> Tensor:
        """`[samples, hidden, *shape]`."""
        return field + self.narrow(self.widen(field, periodic).relu(), periodic)


class _WideNetwork(nn.Module):
    """The network of `WDSR`, from `[batch, in_channels, *coarse shape]` to `[batch, channels, *fine shape]`."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        resolution: Resolution,
        *,
        hidden: int,
        blocks: int,
        expansion: int,
    ) -> None:
        super().__init__()
        self.factors, self.periodic, self.fine = (
            resolution.factors(),
            resolution.periodic,
            resolution.shapes[1],
        )
        dim, out = len(self.factors), channels * prod(self.factors)
        self.first = _normalised(in_channels, hidden, dim)
        self.body = nn.ModuleList(_WideBlock(hidden, expansion, dim) for _ in range(blocks))
        self.last = _normalised(hidden, out, dim)
        self.skip = _normalised(in_channels, out, dim, width=5)

    def forward(self, values: Tensor) -> Tensor:
        """Both branches, shuffled."""
        inner = self.first(values, self.periodic)
        for block in self.body:
            inner = block(inner, self.periodic)
        both = self.last(inner, self.periodic) + self.skip(values, self.periodic)
        fine = shuffled(both, self.factors)
        for axis, size in enumerate(self.fine, start=2):
            fine = fine.narrow(axis, 0, size)
        return fine


def shuffled(values: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Channels as points: `[batch, channels * f_1 * f_2 ..., n_1, n_2 ...]` -> `[batch, channels, f_1 n_1, ...]`.

    >>> import torch
    >>> shuffled(torch.arange(6.0).view(1, 6, 1, 1), (3, 2))[0, 0]
    tensor([[0., 1.],
            [2., 3.],
            [4., 5.]])
    """
    dim, shape = len(factors), values.shape[2:]
    blocks = values.unflatten(1, (-1, *factors))  # [batch, channels, *factors, *shape]
    order = [place for axis in range(dim) for place in (2 + dim + axis, 2 + axis)]
    fine = [count * factor for count, factor in zip(shape, factors, strict=True)]
    return blocks.permute(0, 1, *order).reshape(len(values), -1, *fine)


def _normalised(channels: int, out: int, dim: int, *, width: int = 3) -> Convolution:
    """A convolution g v / |v|, a length g and a direction v for each channel out [Salimans and Kingma 2016]."""
    convolution = Convolution(channels, out, dim, width=width)
    weight_norm(convolution.conv)
    return convolution
