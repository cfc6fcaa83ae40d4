"""Bases and correctors by name, and the width that gives a corrector its number of parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from irno_graph import bases, correctors
from irno_graph.experiments.config import ConfigError
from irno_graph.graph import Graph

WIDEST = 512

BASES: dict[str, Callable[..., nn.Module]] = {
    "fno": bases.FNO,
    "tfno": bases.TFNO,
    "sfno": bases.SFNO,
    "wdsr": bases.WDSR,
}
CORRECTORS: dict[str, Callable[..., nn.Module]] = {
    "unet": correctors.UNet,
    "resnet": correctors.ResNet,
    "convnext": correctors.ConvNeXt,
    "fno": correctors.FNO,
    "message-passing": correctors.MessagePassing,
    "multi-scale": correctors.MultiscaleMessagePassing,
}
WIDTHS = {name: "base_channels" if name == "unet" else "hidden" for name in CORRECTORS}
ON_GRIDS = ("unet", "resnet", "convnext", "fno")


def make_base(
    name: str,
    options: dict[str, Any],
    in_channels: int,
    channels: int,
    graph: Graph,
    *,
    coarse: Graph | None = None,
) -> nn.Module:
    """A base with new weights; `coarse` is the grid that super-resolution starts from.

    Raises:
        ConfigError: naming the option that it does not have.
        ValueError: if it is not for such graphs.
    """
    _check_options("bases", name, BASES[name], options)
    if name == "wdsr":
        if coarse is None:
            raise ConfigError("`bases.wdsr` should come with `problem.kind: super-resolution`: leave it out.")
        return BASES[name](in_channels, channels, coarse, graph, **options)
    return BASES[name](in_channels, channels, graph, **options)


def make_corrector(
    name: str, options: dict[str, Any], in_channels: int, channels: int, graph: Graph, *, width: int
) -> nn.Module:
    """A corrector of a width, with new weights.

    Raises:
        ConfigError: naming the option that it does not have.
    """
    _check_options("correctors", name, CORRECTORS[name], options)
    dim = 2 if graph.sphere_shape and name in ON_GRIDS else graph.dim
    settings = {"dim": dim, **options, WIDTHS[name]: width}
    return CORRECTORS[name](in_channels, channels, **settings)


def width_for(parameters: int, make: Callable[[int], nn.Module]) -> int:
    """The width whose number of parameters is nearest to `parameters`; the number grows with the width.

    >>> width_for(1000, lambda width: nn.Linear(width, 9))
    110
    """
    low, high = 1, 2
    while count(make(high)) < parameters and high < WIDEST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(make(middle)) < parameters else (low, middle)
    return min((low, high), key=lambda width: abs(count(make(width)) - parameters))


def count(module: nn.Module) -> int:
    """Number of real parameters; a complex one is two."""
    return sum(own.numel() * (2 if own.is_complex() else 1) for own in module.parameters())


def _check_options(key: str, name: str, kind: Callable[..., nn.Module], options: dict[str, Any]) -> None:
    known = [own.name for own in inspect.signature(kind).parameters.values() if own.kind is own.KEYWORD_ONLY]
    for option in options:
        if option not in known or (option == WIDTHS.get(name) and key == "correctors"):
            raise ConfigError(
                f"`{key}.{name}` should have some of the options {', '.join(known)}, got `{option}`: the width of a "
                "corrector follows from `corrector.parameters`."
            )
