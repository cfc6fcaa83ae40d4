"""Band energies and band filters of the whole spectrum without eigenvectors: Chebyshev polynomials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import dct
from scipy.special import erf
from torch import Tensor

from irno_graph.graph import Graph
from irno_graph.graph.pyg import Batch
from irno_graph.spectral.recurrence import moments, operator, polynomials

WIDTH = 2.2  # width of a smooth step, times the highest frequency over the order


class Windows(NamedTuple):
    """Chebyshev coefficients of the bands' windows over the eigenvalues 0 ... bound, both `[bands, order + 1]`.

    Attributes:
        filters: of the functions that `ChebyshevBank.filter` applies.
        energies: of the functions that weigh the squared coefficients in `ChebyshevBank.band_energy`.
    """

    filters: np.ndarray
    energies: np.ndarray


WindowChoice = Callable[[np.ndarray, float, int], Windows]  # of edges [bands + 1], bound, order


def smooth_steps(edges: np.ndarray, bound: float, order: int) -> Windows:
    """Differences of erf steps in frequency, sum 1; 10 to 90 % within 4 sqrt(bound) / order, leakage 2e-5."""
    found = chebyshev_coefficients(lambda value: _parts(np.sqrt(value), edges, bound, order), bound, order)
    return Windows(found, found)


def jackson_steps(edges: np.ndarray, bound: float, order: int) -> Windows:
    """Sharp bands with Jackson's damping, sum 1, no overshoot; 10 % narrower than `smooth_steps`, leakage 5e-4."""

    def inside(value: np.ndarray) -> np.ndarray:
        above = np.sqrt(value) >= edges[1:-1, None]
        one = np.ones((1, len(value)))
        return np.concatenate([one, above]) - np.concatenate([above, 0 * one])

    angle = np.pi / (order + 2)
    j = np.arange(order + 1)
    damping = ((order + 2 - j) * np.cos(j * angle) + np.sin(j * angle) / np.tan(angle)) / (order + 2)
    found = chebyshev_coefficients(inside, bound, order, points=64 * (order + 1)) * damping
    return Windows(found, found)


def wavelets(edges: np.ndarray, bound: float, order: int) -> Windows:
    """A tight frame of spectral graph wavelets: roots of the windows of `smooth_steps`, so that squares sum to 1.

    |field|^2 = sum of the energies of the filtered fields, to the error of the polynomials.
    Source: Hammond, Vandergheynst, Gribonval 2011; Leonardi, Van De Ville 2013 (tight frames).
    """

    def amplitude(value: np.ndarray) -> np.ndarray:
        angle = np.pi / 4 * (1 + erf((np.sqrt(value) - edges[1:-1, None]) / _width(bound, order)))
        passed = np.concatenate([np.ones((1, len(value))), np.cumprod(np.sin(angle), axis=0)])
        return passed * np.concatenate([np.cos(angle), np.ones((1, len(value)))])

    return Windows(
        chebyshev_coefficients(amplitude, bound, order),
        chebyshev_coefficients(lambda value: amplitude(value) ** 2, bound, order),
    )


def chebyshev_coefficients(
    function: Callable[[np.ndarray], np.ndarray], bound: float, order: int, points: int | None = None
) -> np.ndarray:
    """c `[functions, order + 1]` with function(lambda) ~ sum_j c_j T_j(2 lambda / bound - 1) on 0 ... bound.

    >>> chebyshev_coefficients(lambda value: np.stack([value, 0 * value + 3]), 2.0, 2).round(12) + 0.0
    array([[1., 1., 0.],
           [3., 0., 0.]])
    """
    count = points or 8 * (order + 1)
    nodes = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    found = dct(function(0.5 * bound * (nodes + 1)), type=2, axis=-1)[..., : order + 1] / count
    found[..., 0] *= 0.5
    return found


class ChebyshevBank:
    """Bands of the whole spectrum of M^-1 L, of a graph or of each graph of a batch, by polynomials of M^-1 L.

    The energy of band b is sum_i p_b(lambda_i) c_i^2 over all modes i, with p_b a polynomial of degree `order`
    near 1 between the band's edges and near 0 elsewhere, and sum_b p_b = 1. No eigenvector is computed.

    Args:
        graph: one graph or a batch; on its device all is computed.
        bands: number of bands, equally wide in frequency from 0 to the bound of the largest.
        order: degree of the polynomials: `order` / 2 sparse products per energy, `order` per filter.
        edges: ascending frequencies `[bands + 1]` instead of `bands`; the first band reaches down to 0 and the
            last up to the highest frequency, whatever their outer edges are.
        windows: `smooth_steps`, `jackson_steps` or `wavelets`.

    Attributes:
        edges: frequencies `[graphs, bands + 1]`, float64.
        bounds: at least the largest eigenvalue `[graphs]`, float64.
        filters: coefficients `[graphs, bands, order + 1]` of the filters, float64.
        energies: coefficients `[graphs, bands, order + 1]` of the energies, float64.

    Raises:
        ValueError: for less than one band or order 1, or edges that do not ascend.

    >>> bank = ChebyshevBank(Graph.from_grid((8, 8), period=(1.0, 1.0)), bands=2, order=16)
    >>> bank.band_energy(torch.ones(64, 1)).round(decimals=3) + 0.0
    tensor([[1.],
            [0.]])
    """

    def __init__(
        self,
        graph: Graph,
        bands: int = 8,
        *,
        order: int = 64,
        edges: Sequence[float] | Tensor | None = None,
        windows: WindowChoice = smooth_steps,
    ) -> None:
        if bands < 1 or order < 1:
            raise ValueError(f"`bands` and `order` should be at least 1, got {bands} and {order}.")
        self.graph, self.order = graph, order
        bounds = operator(graph, torch.float64).bounds
        every = [_edges(bands, edges, bound) for bound in bounds]
        made = [windows(own, bound, order) for own, bound in zip(every, bounds, strict=True)]
        device = graph.pos.device
        self.edges = torch.from_numpy(np.stack(every)).to(device)
        self.bounds = torch.from_numpy(bounds).to(device)
        self.filters = torch.from_numpy(np.stack([own.filters for own in made])).to(device)
        self.energies = torch.from_numpy(np.stack([own.energies for own in made])).to(device)

    def __repr__(self) -> str:
        graphs, bands, _ = self.filters.shape
        return f"ChebyshevBank(graphs={graphs}, bands={bands}, order={self.order})"

    def filter(self, field: Tensor) -> Tensor:
        """p_b(M^-1 L) field `[..., bands, nodes, channels]` of `field` `[..., nodes, channels]`."""
        columns = self._columns(field)
        found = polynomials(operator(self.graph, field.dtype), columns, self.filters)
        bands, nodes, _ = found.shape
        lead = field.shape[:-2]
        shaped = found.view(bands, nodes, *lead, field.shape[-1])
        return shaped.movedim(0, -2).movedim(0, -2)  # [..., bands, nodes, channels]

    def band_energy(self, field: Tensor) -> Tensor:
        """Energies `[..., bands, channels]` of `field` `[..., nodes, channels]`, per band.

        On a batch `[..., graphs, bands, channels]`. Over the bands they sum to sum_i mass_i field_i^2. Differentiable
        once.
        """
        found = moments(operator(self.graph, field.dtype), self._columns(field), self.order)
        energy = torch.einsum("gbj,jgc->gbc", self.energies.to(found), found)  # [graphs, bands, columns]
        lead = field.shape[:-2]
        shaped = energy.view(*energy.shape[:2], *lead, field.shape[-1])
        shaped = shaped.movedim(0, -2).movedim(0, -2)  # [..., graphs, bands, channels]
        return shaped if isinstance(self.graph, Batch) else shaped.squeeze(-3)

    def windows_at(self, eigenvalues: Tensor, graph: int = 0) -> Tensor:
        """The polynomials of the energies of graph number `graph` at `eigenvalues` `[modes]`: `[bands, modes]`."""
        place = (2 * eigenvalues.double() / self.bounds[graph] - 1).cpu().numpy()
        table = np.polynomial.chebyshev.chebvander(place, self.order)
        return self.energies[graph] @ torch.from_numpy(table.T).to(self.energies.device)

    def _columns(self, field: Tensor) -> Tensor:
        """`field` as `[nodes, columns]`."""
        nodes = len(self.graph.mass)
        if field.ndim < 2 or field.shape[-2] != nodes:
            raise ValueError(
                f"`field` should have shape [..., nodes={nodes}, channels], got {list(field.shape)}: "
                "reorder, or make the bank of this graph."
            )
        return field.movedim(-2, 0).reshape(nodes, -1)


def octaves(graph: Graph, bands: int = 4, *, order: int = 96) -> ChebyshevBank:
    """A bank whose bands end at 1/2^(bands - 1), ..., 1/2 and all of the highest frequency of one graph.

    >>> octaves(Graph.from_grid((4, 4)), bands=3).edges.diff().ravel().div(octaves(Graph.from_grid((4, 4))).edges[0, 1])
    tensor([2., 2., 4.], dtype=torch.float64)
    """
    highest = float(ChebyshevBank(graph, bands=1, order=1).edges[0, -1])
    edges = [0.0, *(highest / 2**place for place in reversed(range(bands)))]
    return ChebyshevBank(graph, order=order, edges=edges)


def _width(bound: float, order: int) -> float:
    return WIDTH * np.sqrt(bound) / order


def _parts(frequency: np.ndarray, edges: np.ndarray, bound: float, order: int) -> np.ndarray:
    """Differences of erf steps `[bands, frequencies]` at the inner edges; they sum to 1."""
    above = 0.5 * (1 + erf((frequency - edges[1:-1, None]) / _width(bound, order)))
    one = np.ones((1, len(frequency)))
    return np.concatenate([one, above]) - np.concatenate([above, 0 * one])


def _edges(bands: int, edges: Sequence[float] | Tensor | None, bound: float) -> np.ndarray:
    if edges is None:
        return np.linspace(0.0, np.sqrt(bound), bands + 1)
    given = torch.as_tensor(edges, dtype=torch.float64).cpu().numpy()
    if given.ndim != 1 or len(given) < 2 or not (np.diff(given) > 0).all():
        raise ValueError(f"`edges` should be at least two ascending frequencies, got {given.tolist()}.")
    return given
