"""The spectral loss per degree of spherical harmonics, on grids of the sphere."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from irno_graph.graph import Graph, graph_list, mass_mean
from irno_graph.spectral.sphere import degree_energy, exact_degrees


class SphereSpectralLoss(nn.Module):
    """sum_l w_l E_l(h - y) / 4 pi over degrees l, w_l = rho_l / mean rho, rho_l = 1 + (l / l_nyq)^p.

    E_l is the energy of the degree (`spectral.degree_energy`), the mean is over the 2 l + 1 modes of each degree, p
    goes linearly from `p_start` at the first step to `p_end` at the last: `SpectralLoss` in the sphere's own modes,
    without an eigenproblem. l_nyq = min(nlat - 1, nlon / 2). What the degrees do not hold is one more band, with the
    energy ||e||^2 - sum_l E_l and the mean of the last degree and l_nyq.

    Args:
        degrees: how many of the first ones; by default and at most those that the grid integrates exactly.
        p_start: exponent at the first step.
        p_end: exponent at the last step.
    """

    def __init__(self, degrees: int | None = None, *, p_start: float = 1.0, p_end: float = 2.0) -> None:
        super().__init__()
        if degrees is not None and degrees < 1:
            raise ValueError(f"`degrees` should be at least 1, got {degrees}.")
        self.degrees, self.p_start, self.p_end = degrees, p_start, p_end

    def weights(self, graph: Graph, steps: int) -> Tensor:
        """w `[steps, degrees + 1]`, float64, the last column that of the rest; the mean over all modes is 1."""
        nlat, nlon = _shape(graph)
        degree = torch.arange(self._count(graph), dtype=torch.float64)
        top = min(nlat - 1, nlon // 2)
        rest = (degree[-1:] + top) / 2
        relative = torch.cat([degree, rest]) / top
        p = torch.linspace(self.p_start, self.p_end, steps, dtype=torch.float64)
        rho = 1.0 + relative.pow(p.unsqueeze(-1))
        modes = torch.cat([2 * degree + 1, torch.ones(1, dtype=torch.float64)])
        mean = (rho @ modes) / modes.sum()
        return rho / mean.unsqueeze(-1)

    def forward(self, states: Tensor, truth: Tensor, graph: Graph) -> Tensor:
        """Mean over steps, samples, graphs and channels; `states` are h_1 ... h_K `[steps, ..., nodes, channels]`.

        Raises:
            ValueError: if the graph is not one of `Graph.from_sphere`, or has fewer degrees than asked for.
            ImportError: without torch-harmonics.
        """
        parts = graph_list(graph)
        sizes = [int(part.num_nodes or 0) for part in parts]
        errors = (states - truth).split(sizes, dim=-2)
        return torch.stack([self._one(error, part) for error, part in zip(errors, parts, strict=True)]).mean()

    def _one(self, error: Tensor, graph: Graph) -> Tensor:
        on_grid = error.unflatten(-2, _shape(graph))  # [steps, ..., nlat, nlon, channels]
        energy = degree_energy(on_grid, graph.sphere_grid, degrees=self._count(graph)) / (4 * torch.pi)
        outside = (mass_mean(error.square(), graph) - energy.sum(dim=-2)).clamp_min(0)
        weight = self.weights(graph, error.shape[0]).to(error)
        weight = weight.view(weight.shape[0], *[1] * (error.dim() - 3), -1, 1)  # [steps, ..., degrees + 1, 1]
        return ((weight[..., :-1, :] * energy).sum(dim=-2) + weight[..., -1, :] * outside).mean()

    def _count(self, graph: Graph) -> int:
        return self.degrees or exact_degrees(*_shape(graph), graph.sphere_grid)


def _shape(graph: Graph) -> tuple[int, int]:
    """(nlat, nlon) of a graph of `Graph.from_sphere`."""
    if not graph.sphere_shape:
        raise ValueError(
            "`graph` should be a grid of the sphere, from `Graph.from_sphere`: it has no latitudes and longitudes."
        )
    nlat, nlon = graph.sphere_shape
    return int(nlat), int(nlon)
