"""A spectral loss that keeps its place: band filters (spectral graph wavelets) of the error, for shocks and fronts."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from irno_graph.graph import Graph, mass_mean
from irno_graph.graph.cache import per_graph
from irno_graph.spectral.chebyshev import wavelets
from irno_graph.spectral.recurrence import operator, polynomials

Norm = Literal["mean-square", "mean-absolute"]


class BandFilterLoss(nn.Module):
    """sum_b w_b |W_b (h - y)|^2, W_b the band filters of a tight frame of spectral graph wavelets, octaves apart.

    w_b = rho_b / mean rho, rho_b = 1 + (omega_b / omega_max)^p, omega_b the middle of band b; p goes linearly from
    `p_start` at the first step to `p_end` at the last. |.|^2 is the mass-weighted mean square over the nodes, or the
    square of the mean absolute value, in which an error that sits at a few nodes, as where a shock is slightly
    displaced, counts for less than the same energy spread out (Besov norms of exponent 1 are made of such terms).

    Args:
        bands: octaves: edges at omega_max / 2, omega_max / 4, ..., `bands` - 1 of them.
        order: degree of the polynomials that the filters are; they resolve the lowest edge where it is at least
            4 omega_max / order.
        norm: "mean-square" or "mean-absolute".
        p_start: exponent at the first step.
        p_end: exponent at the last step.

    Raises:
        ValueError: for less than one band, an order too low for the lowest edge, or another norm.

    Source: Hammond, Vandergheynst & Gribonval, Wavelets on graphs via spectral graph theory (2011); the frame is that
    of `spectral.chebyshev.wavelets`.
    """

    def __init__(
        self,
        bands: int = 4,
        *,
        order: int = 32,
        norm: Norm = "mean-absolute",
        p_start: float = 1.0,
        p_end: float = 2.0,
    ) -> None:
        super().__init__()
        if bands < 1:
            raise ValueError(f"`bands` should be 1 or more, got {bands}: 4 is a good start.")
        if order < 2 ** (bands + 1):
            raise ValueError(
                f"`order` should be at least {2 ** (bands + 1)} for {bands} bands, got {order}: raise it, or take "
                "fewer bands."
            )
        if norm not in get_args(Norm):
            raise ValueError(f"`norm` should be one of {', '.join(get_args(Norm))}, got '{norm}'.")
        self.bands, self.order, self.norm = bands, order, norm
        self.p_start, self.p_end = p_start, p_end

    def weights(self, steps: int) -> Tensor:
        """w `[steps, bands]`, each row with mean 1."""
        edges = torch.tensor(_edges(self.bands), dtype=torch.float64)
        middle = (edges[1:] + edges[:-1]) / 2
        p = torch.linspace(self.p_start, self.p_end, steps, dtype=torch.float64)
        rho = 1.0 + middle.pow(p.unsqueeze(-1))
        return rho / rho.mean(dim=-1, keepdim=True)

    def forward(self, states: Tensor, truth: Tensor, graph: Graph) -> Tensor:
        """Mean over steps, samples, graphs and channels; `states` are h_1 ... h_K `[steps, ..., nodes, channels]`."""
        error = states - truth
        nodes, channels = error.shape[-2:]
        columns = error.movedim(-2, 0).reshape(nodes, -1)
        filtered = polynomials(
            operator(graph, error.dtype), columns, band_filters(graph, self.bands, self.order)
        )
        own = filtered.unflatten(-1, (*error.shape[:-2], channels)).movedim(
            1, -2
        )  # [bands, steps, ..., nodes, :]
        absolute = self.norm == "mean-absolute"
        size = mass_mean(own.abs(), graph).square() if absolute else mass_mean(own.square(), graph)
        weight = self.weights(len(states)).T.to(size)  # [bands, steps]
        return (weight.view(*weight.shape, *[1] * (size.dim() - 2)) * size).sum(dim=0).mean()


@per_graph
def band_filters(graph: Graph, bands: int, order: int) -> Tensor:
    """Chebyshev coefficients `[graphs, bands, order + 1]` of the filters, the lowest band first."""
    bounds = operator(graph, torch.float64).bounds
    found = [wavelets(np.array(_edges(bands)) * np.sqrt(bound), bound, order).filters for bound in bounds]
    return torch.from_numpy(np.stack(found)).to(graph.pos.device)


def _edges(bands: int) -> list[float]:
    """Relative frequencies 0, ..., 1/4, 1/2, 1."""
    return [0.0, *(0.5**j for j in range(bands - 1, -1, -1))]
