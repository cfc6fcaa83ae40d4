"""The first eigenvectors of the Laplacian: a Fourier basis of the mesh."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.linalg import eigh
from scipy.sparse import csc_array, eye_array
from scipy.sparse.linalg import LinearOperator, eigsh, splu
from threadpoolctl import threadpool_limits
from torch import Tensor

from irno_graph.graph import Graph
from irno_graph.spectral.laplacian import DENSE, symmetric_laplacian
from irno_graph.spectral.store import Modes, cache_directory, cache_file, load_modes, save_modes

SAME = 1e-6  # eigenvalues nearer than this, relatively, are one repeated eigenvalue
SPARE = 8  # modes computed beyond those asked for, so that no copy of a repeated eigenvalue is missed


@dataclass(frozen=True, eq=False)
class EigenBasis:
    """L V = M V diag(eigenvalues), V^T M V = I: the `modes` lowest modes of a graph's Laplacian.

    Attributes:
        eigenvalues: `[modes]`, ascending, the lowest 0.
        vectors: V `[nodes, modes]`.
        mass: diagonal of M `[nodes]`.
    """

    eigenvalues: Tensor
    vectors: Tensor
    mass: Tensor

    @classmethod
    def compute(
        cls,
        graph: Graph,
        modes: int = 128,
        *,
        cache: str | os.PathLike[str] | Literal[False] | None = None,
    ) -> EigenBasis:
        """The `modes` lowest modes, float64, by shift-invert Lanczos or a dense solver.

        They are kept on disk, in the directory `cache` (by default $IRNO_GRAPH_CACHE, else the user's cache
        directory), by the contents of the graph; `cache=False` neither reads nor writes. A file with more
        modes serves fewer, a damaged one is computed again.

        Raises:
            ValueError: if `modes` is not in 1..nodes or `graph` is a batch.

        >>> grid = Graph.from_grid((8, 8), period=(1.0, 1.0))
        >>> EigenBasis.compute(grid, modes=5, cache=False).eigenspaces
        tensor([0, 1, 1, 1, 1])
        """
        nodes = len(graph.pos)
        if getattr(graph, "batch", None) is not None:
            raise ValueError("`graph` should be a single graph, got a batch: compute one basis per graph.")
        if not 1 <= modes <= nodes:
            raise ValueError(f"`modes` should be in 1..{nodes} (the nodes of the graph), got {modes}.")
        file = None
        if cache is not False:
            file = cache_file(graph, Path(cache) if cache is not None else cache_directory())
        found = load_modes(file, nodes, modes) if file else None
        if found is None:
            found = _solve(graph, modes)
            if file:
                save_modes(file, found)
        eigenvalues, vectors = (torch.from_numpy(array).to(graph.pos.device) for array in found)
        return cls(eigenvalues, vectors, graph.mass.clone())

    def __post_init__(self) -> None:
        nodes, modes = len(self.mass), len(self.eigenvalues)
        if self.vectors.shape != (nodes, modes):
            raise ValueError(
                f"`vectors` should have shape [nodes={nodes}, modes={modes}], got {list(self.vectors.shape)}."
            )

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> EigenBasis:
        """A copy on `device`, in `dtype`."""
        return EigenBasis(
            *(tensor.to(device, dtype) for tensor in (self.eigenvalues, self.vectors, self.mass))
        )

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


def _solve(graph: Graph, modes: int) -> Modes:
    """Eigenvalues (clipped at 0) and M-orthonormal vectors; the largest entry of a vector is positive."""
    matrix = symmetric_laplacian(graph)
    nodes = matrix.shape[0]
    with threadpool_limits(1, user_api="blas"):
        if nodes <= DENSE or 3 * modes > nodes:
            eigenvalues, vectors = eigh(matrix.toarray())
        else:
            eigenvalues, vectors = _shift_invert(matrix, modes + SPARE, shift=1.0 / float(graph.mass.sum()))
    order = np.argsort(eigenvalues, kind="stable")[:modes]
    eigenvalues = np.maximum(eigenvalues[order], 0.0)
    vectors = vectors[:, order] / np.sqrt(graph.mass.cpu().numpy())[:, None]
    peak = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return eigenvalues, np.ascontiguousarray(vectors * np.where(peak < 0, -1.0, 1.0))


def _shift_invert(matrix: csc_array, count: int, shift: float) -> Modes:
    """The lowest `count` modes by Lanczos on (matrix + shift)^-1, from a fixed start."""
    nodes = matrix.shape[0]
    factors = splu(csc_array(matrix + shift * eye_array(nodes)), options={"SymmetricMode": True})
    inverse = LinearOperator((nodes, nodes), matvec=factors.solve, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(nodes)
    return eigsh(matrix, k=count, sigma=-shift, which="LM", OPinv=inverse, v0=start, tol=0)
