"""The spectral loss of periodic grids by the FFT, and the official code's form of it (arXiv 2605.24041)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from irno_graph.graph import Graph, graph_list
from irno_graph.graph.cache import per_graph
from irno_graph.graph.grid_fields import grid_of, to_grid
from irno_graph.spectral.grid import Frequency, grid_frequencies


class FFTSpectralLoss(nn.Module):
    """sum_k w_k d_k over the FFT modes of a grid, divided by the points; w = rho / mean rho.

    rho_k = 1 + (omega_k / omega_nyq)^p with p from `p_start` at the first step to `p_end` at the last, omega_nyq the
    largest frequency of the grid. The transform is orthonormal, so that without weights and with the coefficient
    distance the sum is the mean square. With "symbol" and "coefficient" it equals `SpectralLoss` with all modes; as
    there, the mean of rho counts one more mode at omega_nyq.

    Args:
        p_start: exponent at the first step.
        p_end: exponent at the last step.
        frequency: "symbol", the root of the eigenvalues of the grid's Laplacian, or "wavenumber", |k|.
        distance: "magnitude", (|c_k(h)| - |c_k(y)|)^2, the paper's; or "coefficient", |c_k(h - y)|^2, which sees
            phase.
        official: as the official code: the half spectrum of a real transform, whose columns with a conjugate are not
            counted twice, frequencies in cycles per point over 0.5, up to sqrt(dim) in the corners whatever the
            spacings, and the mean of rho over this half. Grids that are not periodic are taken as if they were.

    Raises:
        ValueError: for another frequency or distance.

    >>> graph = Graph.from_grid((6, 8), period=(1.0, 1.0))
    >>> truth = torch.zeros(48, 1)
    >>> float(FFTSpectralLoss(p_start=0.0, p_end=0.0)(truth[None] + 2.0, truth, graph))
    4.0
    """

    def __init__(
        self,
        p_start: float = 1.0,
        p_end: float = 2.0,
        *,
        frequency: Frequency = "symbol",
        distance: Literal["magnitude", "coefficient"] = "magnitude",
        official: bool = False,
    ) -> None:
        super().__init__()
        if frequency not in ("symbol", "wavenumber"):
            raise ValueError(f"`frequency` should be 'symbol' or 'wavenumber', got {frequency!r}.")
        if distance not in ("magnitude", "coefficient"):
            raise ValueError(f"`distance` should be 'magnitude' or 'coefficient', got {distance!r}.")
        self.p_start, self.p_end = p_start, p_end
        self.frequency, self.distance, self.official = frequency, distance, official

    def forward(self, states: Tensor, truth: Tensor, graph: Graph) -> Tensor:
        """Mean over steps, samples, graphs and channels; `states` are h_1 ... h_K `[steps, ..., nodes, channels]`.

        Raises:
            ValueError: if a graph was not made by `Graph.from_grid`, or an axis is not periodic.
        """
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
        relative = _relative_frequencies(graph, None if self.official else self.frequency)
        exponents = torch.linspace(
            self.p_start, self.p_end, states.shape[0], dtype=relative.dtype, device=relative.device
        )
        rho = 1.0 + relative ** exponents.view(-1, *[1] * relative.ndim)  # [steps, *modes]
        beyond = 0 if self.official else 1  # modes at omega_nyq, where rho is 2
        mean = (rho.flatten(1).sum(dim=1) + 2.0 * beyond) / (relative.numel() + beyond)
        weight = rho / mean.view(-1, *[1] * relative.ndim)
        square = self._distances(to_grid(states, graph), to_grid(truth, graph), relative.ndim)
        weight = weight.view(len(weight), *[1] * (square.ndim - weight.ndim), *relative.shape)
        return (weight.to(square.dtype) * square).mean()

    def _distances(self, states: Tensor, truth: Tensor, dim: int) -> Tensor:
        """d_k `[steps, ..., channels, *modes]` of fields `[..., channels, *grid]`."""
        transform = torch.fft.rfftn if self.official else torch.fft.fftn
        real = torch.promote_types(states.dtype, torch.float32)
        axes = tuple(range(-dim, 0))
        if self.distance == "coefficient":
            return transform((states - truth).to(real), dim=axes, norm="ortho").abs().square()
        ours, theirs = (transform(field.to(real), dim=axes, norm="ortho").abs() for field in (states, truth))
        return (ours - theirs).square()


@per_graph
def _relative_frequencies(graph: Graph, frequency: Frequency | None) -> Tensor:
    """omega / omega_nyq `[*modes]`, float64 on the graph's device; the official code's for None."""
    grid = grid_of(graph)
    if frequency is None:
        counts = [torch.fft.fftfreq(count, dtype=torch.float64) for count in grid.shape[:-1]]
        counts.append(torch.fft.rfftfreq(grid.shape[-1], dtype=torch.float64))
        square = sum(axis.square() for axis in torch.meshgrid(*counts, indexing="ij"))
        return (torch.as_tensor(square).sqrt() / 0.5).to(graph.pos.device)
    if not all(grid.periodic):
        raise ValueError(
            f"`graph` should be periodic along every axis for the FFT, got the period {grid.period}: take "
            "`SpectralLoss` or `ChebyshevSpectralLoss`, or `official=True`."
        )
    omega = grid_frequencies(grid.shape, grid.extent, frequency)
    return (omega / omega.max()).to(graph.pos.device)
