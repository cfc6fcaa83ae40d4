"""The first eigenvectors of the Laplacian: a Fourier basis of the mesh."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import norm
from torch import Tensor

from irno_graph.graph import Graph
from irno_graph.spectral.laplacian import laplacian
from irno_graph.spectral.solver import lowest_modes, residual_norms
from irno_graph.spectral.store import Modes, cache_directory, cache_slot, load_modes, save_modes

SAME = 1e-6  # eigenvalues nearer than this, relatively, are one repeated eigenvalue
FLAT = 1e-12  # eigenvalues below this share of |L| are 0


@dataclass(frozen=True, eq=False)
class EigenBasis:
    """L V = M V diag(eigenvalues), V^T M V = I: the `modes` lowest modes of a graph's Laplacian.

    Attributes:
        eigenvalues: `[modes]`, ascending; as many are 0 as the graph has connected parts.
        vectors: V `[nodes, modes]`.
        mass: diagonal of M `[nodes]`.
        residuals: |L v - lambda M v| in the norm of M^-1 over lambda `[modes]` (for lambda = 0 over the least
            positive one); None where they are not known.
    """

    eigenvalues: Tensor
    vectors: Tensor
    mass: Tensor
    residuals: Tensor | None = None

    @classmethod
    def compute(
        cls,
        graph: Graph,
        modes: int = 128,
        *,
        dirichlet: Tensor | None = None,
        intrinsic: bool = False,
        cache: str | os.PathLike[str] | Literal[False] | None = None,
    ) -> EigenBasis:
        """The `modes` lowest modes, float64: none missing, none twice, residuals checked.

        They are kept on disk by the contents of the graph and the settings. A file with more modes serves fewer,
        a damaged one is computed again.

        Args:
            graph: a single graph.
            modes: how many.
            dirichlet: nodes where the modes vanish, boolean `[nodes]`; the others are free.
            intrinsic: use the intrinsic Delaunay triangulation of the graph's triangles.
            cache: directory of the files, by default $IRNO_GRAPH_CACHE, else the user's cache directory; False
                neither reads nor writes.

        Raises:
            ValueError: if `modes` is not in 1..free nodes, `graph` is a batch, or `dirichlet` is no such mask.
            EigenError: if modes are missing or have residuals above 1e-7.

        >>> grid = Graph.from_grid((8, 8), period=(1.0, 1.0))
        >>> EigenBasis.compute(grid, modes=5, cache=False).eigenspaces
        tensor([0, 1, 1, 1, 1])
        """
        nodes = len(graph.pos)
        if getattr(graph, "batch", None) is not None:
            raise ValueError(
                "`graph` should be a single graph, got a batch: call `eigenbases(batch, modes)`."
            )
        free = _free_nodes(dirichlet, nodes)
        if not 1 <= modes <= len(free):
            raise ValueError(
                f"`modes` should be in 1..{len(free)} (the free nodes of the graph), got {modes}."
            )
        slot = None
        if cache is not False:
            settings = b"" if len(free) == nodes else free.tobytes()
            directory = Path(cache) if cache is not None else cache_directory()
            slot = cache_slot(graph, directory, settings + (b" intrinsic" if intrinsic else b""))
        found = load_modes(slot, nodes, modes) if slot else None
        if found is None:
            found = _solve(graph, modes, free, intrinsic)
            if slot:
                save_modes(slot, found)
        device = graph.pos.device
        eigenvalues, vectors, residuals = (torch.from_numpy(array).to(device) for array in found)
        return cls(eigenvalues, vectors, graph.mass.clone(), residuals)

    def __post_init__(self) -> None:
        nodes, modes = len(self.mass), len(self.eigenvalues)
        if self.vectors.shape != (nodes, modes):
            raise ValueError(
                f"`vectors` should have shape [nodes={nodes}, modes={modes}], got {list(self.vectors.shape)}."
            )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> EigenBasis:
        """A copy on `device`, in `dtype`."""
        residuals = None if self.residuals is None else self.residuals.to(device, dtype)
        eigenvalues, vectors = self.eigenvalues.to(device, dtype), self.vectors.to(device, dtype)
        return EigenBasis(eigenvalues, vectors, self.mass.to(device, dtype), residuals)

    @property
    def frequencies(self) -> Tensor:
        """Square roots of the eigenvalues `[modes]`."""
        return self.eigenvalues.sqrt()

    @property
    def eigenspaces(self) -> Tensor:
        """Number of the distinct eigenvalue of each mode `[modes]`; equal numbers share an eigenspace."""
        upper, gaps = self.eigenvalues[1:], self.eigenvalues.diff()
        parted = (gaps > SAME * upper) & (gaps > 1e-12 * self.eigenvalues[-1])
        start = torch.zeros(1, dtype=torch.long, device=gaps.device)
        return torch.cat([start, parted.long().cumsum(0)])

    def transform(self, field: Tensor) -> Tensor:
        """Coefficients V^T M field `[..., modes, channels]` of `field` `[..., nodes, channels]`."""
        _check(field, "field", "nodes", len(self.mass))
        weighted = (self.vectors * self.mass[:, None]).to(field.dtype)
        return weighted.T @ field

    def inverse(self, coefficients: Tensor) -> Tensor:
        """The field V coefficients `[..., nodes, channels]` of `coefficients` `[..., modes, channels]`."""
        _check(coefficients, "coefficients", "modes", len(self.eigenvalues))
        return self.vectors.to(coefficients.dtype) @ coefficients

    def band_energy(self, field: Tensor, edges: Sequence[float] | Tensor) -> Tensor:
        """Energy of `field` `[..., nodes, channels]` per frequency band, `[..., bands + 1, channels]`.

        Band b sums the squared coefficients of the modes with edges[b] <= frequency < edges[b + 1]; the last
        entry is all the rest, beyond the known modes too, so that the sum is sum_i mass_i field_i^2. An
        eigenspace lies in one band as a whole: signs and rotations of its vectors change nothing.
        """
        band = self.band_of_modes(edges).to(field.device)
        coefficients = self.transform(field)
        rest = field - self.inverse(coefficients)
        beyond = (self.mass.to(field.dtype)[:, None] * rest**2).sum(dim=-2, keepdim=True)
        bands = field.new_zeros(*field.shape[:-2], len(edges), field.shape[-1])
        bands = bands.index_add(-2, band, coefficients**2)
        return torch.cat([bands[..., :-1, :], bands[..., -1:, :] + beyond], dim=-2)

    def band_of_modes(self, edges: Sequence[float] | Tensor) -> Tensor:
        """The band `[modes]` of each mode for ascending frequency `edges`; len(edges) - 1 where in none.

        Raises:
            ValueError: if there are not at least two edges, ascending.
        """
        limits = torch.as_tensor(edges, dtype=torch.float64, device=self.eigenvalues.device)
        if limits.ndim != 1 or len(limits) < 2 or not bool((limits.diff() > 0).all()):
            raise ValueError(f"`edges` should be at least two ascending frequencies, got {limits.tolist()}.")
        spaces = self.eigenspaces
        count = int(spaces[-1]) + 1
        sums = limits.new_zeros(count).index_add(0, spaces, self.eigenvalues.double())
        frequency = (sums / torch.bincount(spaces, minlength=count)).sqrt()[spaces]
        band = torch.bucketize(frequency, limits, right=True) - 1
        return torch.where(band < 0, len(limits) - 1, band)


def _check(values: Tensor, name: str, axis: str, count: int) -> None:
    if values.ndim < 2 or values.shape[-2] != count:
        raise ValueError(
            f"`{name}` should have shape [..., {axis}={count}, channels], got {list(values.shape)}: "
            "reorder, or compute the basis of this graph."
        )


def _free_nodes(dirichlet: Tensor | None, nodes: int) -> np.ndarray:
    if dirichlet is None:
        return np.arange(nodes)
    if dirichlet.dtype != torch.bool or dirichlet.shape != (nodes,):
        raise ValueError(
            f"`dirichlet` should be a boolean mask [nodes={nodes}], got {dirichlet.dtype} {list(dirichlet.shape)}."
        )
    return np.flatnonzero(~dirichlet.cpu().numpy())


def _solve(graph: Graph, modes: int, free: np.ndarray, intrinsic: bool) -> Modes:
    """Eigenvalues (clipped at 0), M-orthonormal vectors whose largest entry is positive, and residuals."""
    stiffness = laplacian(graph, intrinsic=True) if intrinsic else laplacian(graph)
    root = np.sqrt(graph.mass.detach().cpu().numpy())
    matrix = csr_array(diags_array(1 / root) @ stiffness @ diags_array(1 / root))
    positions = graph.pos.detach().cpu().numpy()
    if len(free) < len(root):
        matrix, positions = csr_array(matrix[free][:, free]), positions[free]
    eigenvalues, own = lowest_modes(matrix, modes, positions)
    eigenvalues = np.where(eigenvalues > FLAT * norm(matrix, 1), eigenvalues, 0.0)
    residuals = residual_norms(matrix, (eigenvalues, own))
    rows = np.zeros((modes, len(root)))
    rows[:, free] = own.T
    rows /= root
    peak = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    rows *= np.where(peak < 0, -1.0, 1.0)
    return Modes(eigenvalues, rows.T, residuals)
