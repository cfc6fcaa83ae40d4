"""The Chebyshev recurrence of a graph's Laplacian: moments and polynomials of fields, differentiable."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array, eye_array
from torch import Tensor
from torch.autograd.function import once_differentiable

from irno_graph.graph import Graph
from irno_graph.graph.cache import per_graph
from irno_graph.spectral.laplacian import symmetric_laplacian

STEPS = 60  # of the Lanczos bound
MARGIN = 1.01  # factor on the Lanczos bound


class Operator(NamedTuple):
    """S = 2 M^-1/2 L M^-1/2 / bound - 1, symmetric, with eigenvalues in [-1, 1].

    A batch is one block diagonal S, in which every graph has its own bound.

    Attributes:
        matrix: S `[nodes, nodes]`, sparse CSR.
        root_mass: square root of the masses `[nodes, 1]`.
        bounds: at least the largest eigenvalue of M^-1 L, per graph `[graphs]`, float64.
        batch: graph `[nodes]` of each node; None where there is one graph.
    """

    matrix: Tensor
    root_mass: Tensor
    bounds: np.ndarray
    batch: Tensor | None


@per_graph
def operator(graph: Graph, dtype: torch.dtype) -> Operator:
    """The `Operator` of `graph` or of a batch in `dtype` on its device; computed once."""
    matrix = symmetric_laplacian(graph)
    batch = getattr(graph, "batch", None)
    counts = [matrix.shape[0]] if batch is None else torch.bincount(batch.cpu()).tolist()
    ends = np.cumsum([0, *counts])
    pairs = pairwise(ends)
    bounds = np.array([eigenvalue_bound(csr_array(matrix[a:b, a:b])) for a, b in pairs])
    scale = np.repeat(2.0 / bounds, counts)
    scaled = csr_array(diags_array(scale) @ matrix - eye_array(matrix.shape[0]))
    scaled.sort_indices()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        sparse = torch.sparse_csr_tensor(
            torch.from_numpy(scaled.indptr.astype(np.int32)),
            torch.from_numpy(scaled.indices.astype(np.int32)),
            torch.from_numpy(scaled.data).to(dtype),
            size=scaled.shape,
            check_invariants=True,
        )
    root = graph.mass.sqrt().to(dtype).unsqueeze(-1)
    return Operator(sparse.to(graph.pos.device), root, bounds, None if len(counts) == 1 else batch)


def eigenvalue_bound(matrix: csr_array) -> float:
    """At least the largest eigenvalue of a symmetric semidefinite `matrix`, and at most 2 % more.

    The largest Ritz value of 60 Lanczos steps plus its residual norm and 1 %, or Gershgorin's bound where
    that is less; 1 for a matrix of zeros.
    """
    gershgorin = float(abs(matrix).sum(axis=1).max())
    if gershgorin == 0:
        return 1.0
    vector = np.random.default_rng(0).standard_normal(matrix.shape[0])
    vector /= np.linalg.norm(vector)
    before, beta = np.zeros_like(vector), 0.0
    diagonal, side = [], []
    for _ in range(min(STEPS, matrix.shape[0])):
        found = matrix @ vector - beta * before
        diagonal.append(float(found @ vector))
        found -= diagonal[-1] * vector
        beta = float(np.linalg.norm(found))
        side.append(beta)
        if beta < 1e-12 * gershgorin:
            break
        before, vector = vector, found / beta
    values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(side[:-1], 1) + np.diag(side[:-1], -1))
    return min(gershgorin, MARGIN * float(values[-1] + beta * abs(vectors[-1, -1])))


def moments(own: Operator, field: Tensor, order: int) -> Tensor:
    """mu_j = <u, T_j(S) u>, u = M^1/2 field: `[order + 1, graphs, columns]` of `field` `[nodes, columns]`.

    T_2j and T_2j+1 come from inner products of T_j u and T_j+1 u, so that `order` / 2 sparse products do.
    """
    return _Moments.apply(own.root_mass * field, own, order)


def polynomials(own: Operator, field: Tensor, coefficients: Tensor) -> Tensor:
    """p_b(M^-1 L) field `[bands, nodes, columns]`, p_b = sum_j coefficients_bj T_j.

    `coefficients` is `[graphs, bands, order + 1]`, `field` is `[nodes, columns]`.
    """
    return _Polynomials.apply(own.root_mass * field, own, coefficients) / own.root_mass


def chebyshev_fields(own: Operator, start: Tensor, order: int) -> Iterator[Tensor]:
    """T_0 u, T_1 u, ... T_order u of u = `start` `[nodes, columns]`; each is overwritten two steps later."""
    before, now = start, own.matrix @ start
    yield before
    if order > 0:
        yield now
    spare = torch.empty_like(now)
    for step in range(2, order + 1):
        after = torch.addmm(before, own.matrix, now, beta=-1.0, alpha=2.0, out=spare)
        spare = before if step > 2 else torch.empty_like(now)
        before, now = now, after
        yield now


def _inner(one: Tensor, other: Tensor, own: Operator) -> Tensor:
    """Inner products per graph `[graphs, columns]`."""
    product = one * other
    if own.batch is None:
        return product.sum(dim=0, keepdim=True)
    return product.new_zeros(len(own.bounds), product.shape[1]).index_add(0, own.batch, product)


def _at_nodes(values: Tensor, own: Operator) -> Tensor:
    """Rows of `values` `[graphs, ...]` at the nodes; of one graph `[1, ...]`."""
    return values if own.batch is None else values.index_select(0, own.batch)


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, start: Tensor, own: Operator, order: int) -> Tensor:
        ctx.save_for_backward(start)
        ctx.own, ctx.order = own, order
        found: list[Tensor] = []
        before = start
        for step, now in enumerate(chebyshev_fields(own, start, (order + 1) // 2)):
            if step > 0:
                odd = _inner(before, now, own)
                found.append(odd if step == 1 else 2 * odd - found[1])  # T_2j-1 = 2 T_j T_j-1 - T_1
            if 2 * step <= order:
                even = _inner(now, now, own)
                found.append(even if step == 0 else 2 * even - found[0])  # T_2j = 2 T_j^2 - T_0
            before = now
        return torch.stack(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (start,) = ctx.saved_tensors
        total = torch.zeros_like(start)
        for weight, now in zip(upstream, chebyshev_fields(ctx.own, start, ctx.order), strict=True):
            total.addcmul_(_at_nodes(weight, ctx.own), now, value=2.0)
        return total, None, None


class _Polynomials(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, start: Tensor, own: Operator, coefficients: Tensor) -> Tensor:
        ctx.own, ctx.coefficients = own, coefficients
        weights = coefficients.to(start).permute(2, 1, 0).unsqueeze(-1)  # [order + 1, bands, graphs, 1]
        total = start.new_zeros(coefficients.shape[1], *start.shape)
        for weight, now in zip(weights, chebyshev_fields(own, start, len(weights) - 1), strict=True):
            for band, scale in zip(total, weight, strict=True):
                band.addcmul_(_at_nodes(scale, own), now)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        own = ctx.own
        bands, nodes, columns = upstream.shape
        start = upstream.permute(1, 0, 2).reshape(nodes, bands * columns)
        weights = ctx.coefficients.to(start).permute(2, 0, 1)  # [order + 1, graphs, bands]
        total = start.new_zeros(nodes, bands, columns)
        for weight, now in zip(weights, chebyshev_fields(own, start, len(weights) - 1), strict=True):
            total.addcmul_(_at_nodes(weight, own).unsqueeze(-1), now.view(nodes, bands, columns))
        return total.sum(dim=1), None, None
