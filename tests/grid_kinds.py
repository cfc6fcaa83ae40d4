"""Correctors on regular grids of every kind, and small grids of every dimension."""

from typing import Any

import torch

from irno_graph.correctors import FNO, ConvNeXt, Options, ResNet, UNet
from irno_graph.graph import Graph


def _unet(**settings: Any):
    return lambda dim=2, **options: UNet(
        3, 2, base_channels=4, depth=2, dim=dim, options=Options(**options), **settings
    )


GRID_CORRECTORS = {
    "unet, layer": _unet(),
    "unet, batch": _unet(norm="batch"),
    "unet, group": _unet(norm="group"),
    "unet, corners aligned": _unet(align_corners=True),
    "resnet": lambda dim=2, **options: ResNet(
        3, 2, hidden=6, dilations=(1, 2), dim=dim, options=Options(**options)
    ),
    "convnext": lambda dim=2, **options: ConvNeXt(
        3, 2, hidden=6, blocks=2, width=5, expansion=2, dim=dim, options=Options(**options)
    ),
    "fno": lambda dim=2, **options: FNO(
        3, 2, hidden=6, modes=3, layers=2, dim=dim, options=Options(**options)
    ),
}


def lattice(shape, periodic):
    """A grid with sides of length one, the slowest axis first."""
    return Graph.from_grid(shape, period=[1.0 if own else None for own in periodic][::-1])


def grid_fields(graph, *leading):
    """x and h `[*leading, nodes, channels]`."""
    nodes = graph.num_nodes
    x = torch.randn(*leading, nodes, 3, dtype=torch.float64)
    return x, torch.randn(*leading, nodes, 2, dtype=torch.float64)


def shifted(field, shape, shifts):
    """A field `[..., nodes, channels]` moved by `shifts` points along the axes of `shape`, around the ends."""
    axes = tuple(range(-len(shape) - 1, -1))
    return field.unflatten(-2, shape).roll(shifts, dims=axes).flatten(-len(shape) - 1, -2)
