"""The training loss of a refinement: spatial, progressive spectral, fixed point (method of arXiv 2605.24041)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from irno_graph.graph import Graph, mass_mean


class LossTerms(NamedTuple):
    """The total and its parts, each a scalar before its weight."""

    total: Tensor
    spatial: Tensor
    spectral: Tensor
    fixed_point: Tensor


class RefinementLoss(nn.Module):
    """L = L_spatial + beta_spectral L_spectral + beta_fp L_fp.

    L_spatial is the mean over k = 1 ... K of the mass-weighted mean square of h_k - y (mean over channels),
    L_fp = ||Phi(x, y)||^2 in the same mean.

    Args:
        spectral: a `SpectralLoss`, or another loss of (states, truth, graph); None for none.
        beta_spectral: its weight.
        beta_fp: weight of the fixed-point term.
    """

    def __init__(
        self,
        spectral: nn.Module | None = None,
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
