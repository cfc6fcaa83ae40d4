"""Models on grids of the sphere as bases."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from irno_graph.graph import Graph, graph_list
from irno_graph.graph.spheres import SphereGrid
from irno_graph.nn.fields import check_field
from irno_graph.spectral.sphere import spherical_fno


class SphereBase(nn.Module):
    """A module `[batch, in_channels, nlat, nlon]` -> `[batch, channels, nlat, nlon]` as a base on `Graph.from_sphere`.

    Rows go from the north pole down, columns once around, as the nodes of the graph do. Nodes at a pole are passed on
    as they are, one per longitude: a component of a vector may differ between them. Leading dimensions of x, and the
    graphs of a batch, become one batch.

    Args:
        model: the module; it gets fields of the graph's shape and no time.
        graph: a graph of the shape and grid that the module was made for.

    Raises:
        ValueError: if the graph is not one of `Graph.from_sphere`.
    """

    def __init__(self, model: nn.Module, graph: Graph) -> None:
        super().__init__()
        self.model = model
        self.shape, self.grid = sphere_of(graph)

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """h0 `[..., nodes, channels]` of x `[..., nodes, in_channels]` on the grid or a batch of it.

        Raises:
            ValueError: if a graph has another shape or grid, x does not fit it, or the module changes the shape.
        """
        parts = graph_list(graph)
        for part in parts:
            found = sphere_of(part)
            if found != (self.shape, self.grid):
                raise ValueError(
                    f"this base is for the grid {self.shape} of type '{self.grid}', got {found[0]} of type "
                    f"'{found[1]}': make the graph with `Graph.from_sphere` of that shape."
                )
        check_field(x, graph, None, "x")
        on_grid = x.unflatten(-2, (len(parts), *self.shape)).movedim(
            -1, -3
        )  # [..., graphs, in_channels, nlat, nlon]
        value = self.model(on_grid.reshape(-1, *on_grid.shape[-3:]))  # [batch, channels, nlat, nlon]
        if value.dim() != 4 or tuple(value.shape[-2:]) != self.shape:
            raise ValueError(
                f"the module should give [batch, channels, {self.shape[0]}, {self.shape[1]}], got {list(value.shape)}."
            )
        value = value.movedim(-3, -1).flatten(-3, -2)  # [batch, nodes of a graph, channels]
        return value.reshape(*x.shape[:-1], value.shape[-1])

    def extra_repr(self) -> str:
        """The grid."""
        return f"shape={self.shape}, grid='{self.grid}'"


class SFNO(nn.Module):
    """torch-harmonics' spherical Fourier neural operator as a base; `irno_graph.save` keeps it.

    It works on the values as they are given: standardise them, or wrap it. It commutes with turns about the poles.

    Args:
        in_channels: of x.
        channels: of h0.
        graph: a graph of `Graph.from_sphere`; the transforms are made for its shape and grid.
        hidden: channels within.
        layers: spectral convolutions.

    Raises:
        ImportError: without torch-harmonics (extra `sphere`).
        ValueError: if the graph is not one of `Graph.from_sphere`.
    """

    def __init__(
        self, in_channels: int, channels: int, graph: Graph, *, hidden: int = 64, layers: int = 4
    ) -> None:
        super().__init__()
        self.in_channels, self.channels, self.hidden, self.layers = in_channels, channels, hidden, layers
        shape, grid = sphere_of(graph)
        network = spherical_fno(in_channels, channels, shape, grid=grid, hidden=hidden, layers=layers)
        self.base = SphereBase(network, graph)

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """h0 `[..., nodes, channels]` of x `[..., nodes, in_channels]`."""
        check_field(x, graph, self.in_channels, "x")
        return self.base(x, graph)

    def config(self) -> dict[str, Any]:
        """What `from_config` needs."""
        return {
            "in_channels": self.in_channels,
            "channels": self.channels,
            "shape": list(self.base.shape),
            "grid": self.base.grid,
            "hidden": self.hidden,
            "layers": self.layers,
        }

    @staticmethod
    def from_config(config: dict[str, Any]) -> SFNO:
        """The base that `config` describes, with new weights."""
        settings = {name: value for name, value in config.items() if name not in ("shape", "grid")}
        return SFNO(graph=Graph.from_sphere(*config["shape"], grid=config["grid"]), **settings)


def sphere_of(graph: Graph) -> tuple[tuple[int, int], SphereGrid]:
    """Shape (nlat, nlon) and grid of a graph of `Graph.from_sphere`.

    Raises:
        ValueError: if it is another graph.
    """
    shape = graph.sphere_shape
    if not shape or isinstance(shape[0], list | tuple):
        raise ValueError(
            "`graph` should be one grid of the sphere, from `Graph.from_sphere`: its samples are leading dimensions."
        )
    return (int(shape[0]), int(shape[1])), graph.sphere_grid
