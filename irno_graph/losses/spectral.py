"""Spectral losses in the Laplacian eigenbasis of the graph, in the place of the FFT (method of arXiv 2605.24041)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from irno_graph.graph import Graph, graph_list, mass_mean
from irno_graph.graph.cache import per_graph
from irno_graph.spectral import EigenBasis, largest_eigenvalue


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
