"""The spectral loss of all modes without eigenvectors, by Chebyshev polynomials."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from scipy.linalg import eigvalsh
from torch import Tensor, nn

from irno_graph.graph import Graph, graph_list, graph_sum
from irno_graph.graph.cache import per_graph
from irno_graph.spectral import largest_eigenvalue
from irno_graph.spectral.chebyshev import chebyshev_coefficients
from irno_graph.spectral.laplacian import DENSE, symmetric_laplacian
from irno_graph.spectral.recurrence import moments, operator

PROBES = 32  # random fields that estimate the mean of a function over all eigenvalues


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
