"""The training loss of a refinement: spatial, progressive spectral, fixed point.

Source: method of arXiv 2605.24041, with the Laplacian eigenbasis of the graph in the place of the FFT.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg import eigvalsh
from torch import Tensor, nn

from irno_graph.graph import Graph, graph_list, graph_sum, mass_mean
from irno_graph.graph.cache import per_graph
from irno_graph.spectral import EigenBasis, largest_eigenvalue
from irno_graph.spectral.chebyshev import chebyshev_coefficients
from irno_graph.spectral.laplacian import DENSE, symmetric_laplacian
from irno_graph.spectral.recurrence import moments, operator

PROBES = 32  # random fields that estimate the mean of a function over all eigenvalues


class Spectrum(NamedTuple):
    """Eigenbasis of one graph with the frequency that weights are relative to.

    Attributes:
        basis: the first modes.
        relative: `[modes + 1]` omega / omega_nyquist; the last one stands for all modes that are left out.
        total_mass: of the graph.
    """

    basis: EigenBasis
    relative: Tensor
    total_mass: float


class LossTerms(NamedTuple):
    """The total and its parts, each a scalar before its weight."""

    total: Tensor
    spatial: Tensor
    spectral: Tensor
    fixed_point: Tensor


Distance = Callable[[Tensor, Tensor, EigenBasis], Tensor]


def coefficient_distance(estimate: Tensor, truth: Tensor, basis: EigenBasis) -> Tensor:
    """|c_i(h - y)|^2 `[..., modes, channels]`: sees amplitude and phase."""
    return (estimate - truth).square()


def magnitude_distance(estimate: Tensor, truth: Tensor, basis: EigenBasis) -> Tensor:
    """(|c(h)| - |c(y)|)^2 per eigenspace, spread evenly over its modes: free of the eigensolver's choices."""
    space = basis.eigenspaces.to(estimate.device)
    count = int(space.max()) + 1
    size = torch.bincount(space, minlength=count).to(estimate)[space].unsqueeze(-1)

    def amplitude(coefficients: Tensor) -> Tensor:
        energy = coefficients.square()
        total = energy.new_zeros(*energy.shape[:-2], count, energy.shape[-1]).index_add(-2, space, energy)
        return (total + 1e-20).sqrt().index_select(-2, space)

    return (amplitude(estimate) - amplitude(truth)).square() / size


class SpectralLoss(nn.Module):
    """sum_i w_i d_i over the modes of the Laplacian, w_i = rho_i / mean rho, rho_i = 1 + (omega_i / omega_nyq)^p.

    p goes linearly from `p_start` at the first step to `p_end` at the last. The part outside the first modes is one
    more band, with the energy ||e||^2 - sum_i c_i^2 and the mean of the last mode's frequency and Nyquist's.

    Args:
        modes: number of modes (at most the number of nodes).
        distance: `coefficient_distance` or `magnitude_distance`.
        p_start: exponent at the first step.
        p_end: exponent at the last step.
    """

    def __init__(
        self,
        modes: int = 128,
        *,
        distance: Distance = coefficient_distance,
        p_start: float = 1.0,
        p_end: float = 2.0,
    ) -> None:
        super().__init__()
        self.modes, self.distance, self.p_start, self.p_end = modes, distance, p_start, p_end

    def weights(self, relative: Tensor, steps: int) -> Tensor:
        """w `[steps, modes + 1]`, each row with mean 1."""
        p = torch.linspace(self.p_start, self.p_end, steps, dtype=relative.dtype, device=relative.device)
        rho = 1.0 + relative.pow(p.unsqueeze(-1))
        return rho / rho.mean(dim=-1, keepdim=True)

    def forward(self, states: Tensor, truth: Tensor, graph: Graph) -> Tensor:
        """Mean over steps, samples, graphs and channels; `states` are h_1 ... h_K `[steps, ..., nodes, channels]`."""
        parts = graph_list(graph)
        sizes = [int(part.num_nodes or 0) for part in parts]
        terms = [
            self._one(own, own_truth, part)
            for own, own_truth, part in zip(
                states.split(sizes, dim=-2), truth.split(sizes, dim=-2), parts, strict=True
            )
        ]
        return torch.stack(terms).mean()

    def _one(self, states: Tensor, truth: Tensor, graph: Graph) -> Tensor:
        basis, relative, total_mass = spectrum(graph, self.modes, states.dtype)
        own, expected = basis.transform(states), basis.transform(truth)  # [..., modes, channels]
        inside = self.distance(own, expected, basis) / total_mass
        kept = (own - expected).square().sum(dim=-2) / total_mass
        outside = (mass_mean((states - truth).square(), graph) - kept).clamp_min(0)
        weight = self.weights(relative, states.shape[0])
        weight = weight.view(weight.shape[0], *[1] * (states.dim() - 3), -1, 1)  # [steps, ..., modes + 1, 1]
        return ((weight[..., :-1, :] * inside).sum(dim=-2) + weight[..., -1, :] * outside).mean()


class ChebyshevSpectralLoss(nn.Module):
    """`SpectralLoss` with all modes and the coefficient distance, without eigenvectors.

    sum_i w(lambda_i) c_i(h - y)^2 with w a polynomial of degree `order` per step: order / 2 sparse products, at any
    number of nodes. The mean of rho over the spectrum, a factor, is exact up to 256 nodes and estimated above from
    random fields of a fixed seed, to better than 1 %.

    Args:
        order: degree of the polynomial; w is right to 0.6 / order for p = 1, to rounding for p = 2.
        p_start: exponent at the first step.
        p_end: exponent at the last step.
    """

    def __init__(self, order: int = 64, *, p_start: float = 1.0, p_end: float = 2.0) -> None:
        super().__init__()
        if order < 1:
            raise ValueError(f"`order` should be at least 1, got {order}.")
        self.order, self.p_start, self.p_end = order, p_start, p_end

    def forward(self, states: Tensor, truth: Tensor, graph: Graph) -> Tensor:
        """Mean over steps, samples, graphs and channels; `states` are h_1 ... h_K `[steps, ..., nodes, channels]`."""
        steps = states.shape[0]
        error = (states - truth).movedim(-2, 0).reshape(states.shape[-2], -1)  # [nodes, steps * any]
        found = moments(operator(graph, states.dtype), error, self.order)  # [order + 1, graphs, columns]
        found = found.unflatten(-1, (steps, -1))
        weights = weight_polynomials(graph, self.order, torch.linspace(self.p_start, self.p_end, steps))
        total_mass = graph_sum(graph.mass.unsqueeze(-1), graph).to(found)  # [graphs, 1]
        energy = torch.einsum("gsj,jgsa->gsa", weights.to(found), found)  # [graphs, steps, any]
        return (energy / total_mass.unsqueeze(-1)).mean()


def weight_polynomials(graph: Graph, order: int, exponents: Tensor) -> Tensor:
    """Chebyshev coefficients `[graphs, steps, order + 1]` of w = rho / mean rho, rho = 1 + (omega / omega_nyq)^p.

    The mean is over all modes and the band beyond them, where rho = 2, as in `SpectralLoss` with all modes.
    """
    return _weight_polynomials(graph, order, tuple(exponents.double().tolist()))


@per_graph
def _weight_polynomials(graph: Graph, order: int, exponents: tuple[float, ...]) -> Tensor:
    bounds = operator(graph, torch.float64).bounds
    p = np.array(exponents)[:, None]
    found = []
    for own, bound in zip(graph_list(graph), bounds, strict=True):
        top = largest_eigenvalue(own)
        rho = chebyshev_coefficients(partial(_rho, top, p), bound, order)
        density = _spectral_means(own, order)
        nodes = len(own.pos)
        mean = (nodes * rho @ density + 2.0) / (nodes + 1)
        found.append(rho / mean[:, None])
    return torch.from_numpy(np.stack(found)).to(graph.pos.device)


def _rho(top: float, exponents: np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    return 1 + (eigenvalues / top) ** (exponents / 2)


@per_graph
def _spectral_means(graph: Graph, order: int) -> np.ndarray:
    """Means `[order + 1]` of T_j over the eigenvalues: exact for small graphs, else by random signs."""
    own = operator(graph, torch.float64)
    nodes = len(graph.pos)
    if nodes <= DENSE:
        place = 2 * eigvalsh(symmetric_laplacian(graph).toarray()) / own.bounds[0] - 1
        return np.polynomial.chebyshev.chebvander(place, order).mean(axis=0)
    signs = np.sign(np.random.default_rng(0).standard_normal((nodes, PROBES)))
    total = np.zeros(order + 1)
    for start in range(0, PROBES, 4):
        field = torch.from_numpy(signs[:, start : start + 4]).to(own.root_mass) / own.root_mass
        total += moments(own, field, order)[:, 0].sum(dim=-1).cpu().numpy()
    return total / (PROBES * nodes)


@per_graph
def spectrum(graph: Graph, modes: int, dtype: torch.dtype) -> Spectrum:
    """The eigenbasis of `graph` in `dtype` on its device, and relative frequencies."""
    basis = EigenBasis.compute(graph, modes=min(modes, int(graph.num_nodes or 0)))
    frequency = basis.eigenvalues.clamp_min(0).sqrt()
    nyquist = largest_eigenvalue(graph) ** 0.5
    left_out = (frequency[-1:] + nyquist) / 2
    relative = torch.cat([frequency, left_out]) / nyquist
    device = graph.pos.device
    return Spectrum(basis.to(device=device, dtype=dtype), relative.to(device, dtype), float(graph.mass.sum()))


class RefinementLoss(nn.Module):
    """L = L_spatial + beta_spectral L_spectral + beta_fp L_fp.

    L_spatial is the mean over k = 1 ... K of the mass-weighted mean square of h_k - y (mean over channels),
    L_fp = ||Phi(x, y)||^2 in the same mean.

    Args:
        spectral: a `SpectralLoss` or a `ChebyshevSpectralLoss`, or None for none.
        beta_spectral: its weight.
        beta_fp: weight of the fixed-point term.
    """

    def __init__(
        self,
        spectral: SpectralLoss | ChebyshevSpectralLoss | None = None,
        *,
        beta_spectral: float = 1.0,
        beta_fp: float = 0.01,
    ) -> None:
        super().__init__()
        self.spectral, self.beta_spectral, self.beta_fp = spectral, beta_spectral, beta_fp

    def forward(self, states: Tensor, truth: Tensor, graph: Graph, defect: Tensor | None = None) -> LossTerms:
        """Loss of h_1 ... h_K `[steps, ..., nodes, channels]` against y; `defect` is Phi(x, y)."""
        spatial = mass_mean((states - truth).square(), graph).mean()
        zero = torch.zeros_like(spatial)
        spectral = zero if self.spectral is None else self.spectral(states, truth, graph)
        fixed_point = zero if defect is None else mass_mean(defect.square(), graph).mean()
        total = spatial + self.beta_spectral * spectral + self.beta_fp * fixed_point
        return LossTerms(total, spatial, spectral, fixed_point)
