"""A Fourier neural operator on grids."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from irno_graph.correctors.grid.corrector import GridCorrector
from irno_graph.correctors.options import Options
from irno_graph.nn.convolution import CONVOLUTIONS, Periodic
from irno_graph.nn.fourier import SpectralConvolution


class FNO(GridCorrector):
    """Fourier layers v <- gelu(K v + W v), K the spectral convolution; commutes with all shifts of a periodic grid.

    Every point sees every other. On grids of the sphere the waves go around the longitudes, and along the latitudes a
    field is continued evenly at the first and the last one. About 390,000 weights in the plane with 20 channels and 8
    modes.
    Source: Li et al., arXiv 2010.08895.

    Args:
        in_channels: channels of x.
        channels: channels of h.
        hidden: channels of the layers.
        modes: frequencies |k| < modes that a layer keeps along each axis; fewer on a grid that does not have them.
        layers: how many.
        dim: axes of the grid.
        options: further inputs, gain of the last layer.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        hidden: int = 20,
        modes: int = 8,
        layers: int = 4,
        dim: int = 2,
        options: Options | None = None,
    ) -> None:
        super().__init__(in_channels, channels, dim, options)
        if modes < 1:
            raise ValueError(f"`modes` should be positive, got {modes}: 1 keeps the mean alone.")
        self.hidden, self.modes = hidden, modes
        self.first = CONVOLUTIONS[dim](self.inputs, hidden, 1)
        self.spectral = nn.ModuleList(SpectralConvolution(hidden, modes, dim) for _ in range(layers))
        self.own = nn.ModuleList(CONVOLUTIONS[dim](hidden, hidden, 1) for _ in range(layers))
        self.mix = CONVOLUTIONS[dim](hidden, 2 * hidden, 1)
        self.last = self.last_layer(2 * hidden)

    def config(self) -> dict[str, Any]:
        """Constructor arguments, as JSON holds them."""
        own = {"hidden": self.hidden, "modes": self.modes, "layers": len(self.spectral)}
        return {**super().config(), **own}

    def network(self, field: Tensor, periodic: Periodic) -> Tensor:
        """Fourier layers between layers of width 1."""
        field = self.first(field)
        for spectral, own in zip(self.spectral, self.own, strict=True):
            field = functional.gelu(spectral(field, periodic) + own(field))
        return self.last(functional.gelu(self.mix(field)))
