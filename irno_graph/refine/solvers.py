"""How a refinement goes on from h_k: plainly, or accelerated by what the states before it tell.

Sources: Walker & Ni, "Anderson acceleration for fixed-point iterations" (SIAM J. Numer. Anal. 2011); Küttler & Wall,
"Fixed-point fluid-structure interaction solvers with dynamic relaxation" (Comput. Mech. 2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from irno_graph.refine.schedules import check_alpha
from irno_graph.refine.space import Space

ROUNDING = 1e-14  # squared sine of an angle between differences below which float64 sees none


class Run(Protocol):
    """One refinement's memory, of samples `[samples]` (`[samples, graphs]` on a batch) that do not see each other."""

    def advance(self, h: Tensor, residual: Tensor, alpha: float) -> Tensor:
        """What to try as h_{k+1}, from h_k and Phi(h_k), both `[samples, nodes, channels]`."""

    def forget(self, samples: Tensor) -> None:
        """The proposal for these samples was worse than h_k: rely less on what came before."""

    def keep(self, rows: Tensor) -> None:
        """Only these rows of the samples go on."""


class Solver(Protocol):
    """Settings of a solver; `IRNO(..., solver=...)` starts it once per refinement."""

    def start(self, space: Space) -> Run:
        """A run that knows of no state yet and measures in `space`."""


@dataclass(frozen=True)
class Plain:
    """h_{k+1} = h_k + alpha_k Phi(h_k), as `solver=None` does it."""

    def start(self, space: Space) -> Run:
        """Nothing is remembered."""
        return _PlainRun()


@dataclass(frozen=True)
class Anderson:
    """Anderson acceleration: the mix of the last states whose mixed residual is least, and a step from there.

    With dh_j, df_j the differences of successive states and residuals f = Phi(h), and gamma the minimiser of
    |f_k - sum_j gamma_j df_j|, h_{k+1} = h_k + beta f_k - sum_j gamma_j (dh_j + beta df_j). For affine Phi and full
    memory that is GMRES, one step of size beta behind. Differences are scaled to unit length; an older one that lies
    in the span of newer ones is left out.

    Args:
        memory: how many differences are kept, 1 or more.
        regularisation: of the least squares problem (Tikhonov), relative to the norm of its Gram matrix; also the
            squared sine of the angle below which a difference is left out.
        mixing: beta in (0, 1]; None is alpha_k.
    """

    memory: int = 5
    regularisation: float = 1e-10
    mixing: float | None = None

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ValueError(f"`memory` should be 1 or more, got {self.memory}: Plain() is without.")
        if not 0.0 <= self.regularisation < math.inf:
            raise ValueError(f"`regularisation` should be 0 or more, got {self.regularisation}: try 1e-10.")
        if self.mixing is not None:
            check_alpha("mixing", self.mixing, "None is the model's alpha")

    def start(self, space: Space) -> Run:
        """A run without differences."""
        return _AndersonRun(self, space)


@dataclass(frozen=True)
class Aitken:
    """Dynamic relaxation: h_{k+1} = h_k + omega_k f_k, omega_0 = alpha_0, omega_k = -<dh, df> / <df, df>.

    dh, df are the last differences of states and of residuals f = Phi(h); each sample has an omega of its own.
    """

    def start(self, space: Space) -> Run:
        """A run without differences."""
        return _AitkenRun(space)


class _PlainRun:
    def advance(self, h: Tensor, residual: Tensor, alpha: float) -> Tensor:
        return h + alpha * residual

    def forget(self, samples: Tensor) -> None:
        pass

    def keep(self, rows: Tensor) -> None:
        pass


class _AitkenRun:
    def __init__(self, space: Space) -> None:
        self.space = space
        self.last: tuple[Tensor, Tensor] | None = None

    def advance(self, h: Tensor, residual: Tensor, alpha: float) -> Tensor:
        last, self.last = self.last, (h, residual)
        if last is None:
            return h + alpha * residual
        dh, df = h - last[0], residual - last[1]
        size = self.space.dot(df, df)
        known = size > 0
        omega = -self.space.dot(dh, df) / torch.where(known, size, 1.0)
        return h + self.space.scaled(residual, torch.where(known, omega, alpha))

    def forget(self, samples: Tensor) -> None:
        pass  # the step that was taken instead gives the next omega

    def keep(self, rows: Tensor) -> None:
        if self.last is not None:
            self.last = (self.last[0][rows], self.last[1][rows])


class _AndersonRun:
    def __init__(self, settings: Anderson, space: Space) -> None:
        self.settings, self.space = settings, space
        self.last: tuple[Tensor, Tensor] | None = None
        self.dh: list[Tensor] = []  # the newest is the last
        self.df: list[Tensor] = []
        self.valid: list[Tensor] = []  # of each difference, [samples] or [samples, graphs]
        self.gram: list[list[Tensor]] = []  # <df_i, df_j>, j <= i, likewise

    def advance(self, h: Tensor, residual: Tensor, alpha: float) -> Tensor:
        if self.last is not None:
            self._add(h - self.last[0], residual - self.last[1])
        self.last = (h, residual)
        mixing = alpha if self.settings.mixing is None else self.settings.mixing
        step = mixing * residual
        if self.df:
            weights = self._weights(residual)
            for dh, df, weight in zip(self.dh, self.df, weights.unbind(-1), strict=True):
                step = step - self.space.scaled(dh + mixing * df, weight)
        return h + step

    def forget(self, samples: Tensor) -> None:
        self.valid = [valid & ~samples for valid in self.valid]

    def keep(self, rows: Tensor) -> None:
        self.dh, self.df, self.valid = (
            [one[rows] for one in all_] for all_ in (self.dh, self.df, self.valid)
        )
        self.gram = [[entry[rows] for entry in row] for row in self.gram]
        if self.last is not None:
            self.last = (self.last[0][rows], self.last[1][rows])

    def _add(self, dh: Tensor, df: Tensor) -> None:
        if len(self.df) == self.settings.memory:
            del self.dh[0], self.df[0], self.valid[0], self.gram[0]
            self.gram = [row[1:] for row in self.gram]
        self.dh.append(dh)
        self.df.append(df)
        self.gram.append([self.space.dot(df, other) for other in self.df])
        self.valid.append(self.gram[-1][-1] > 0)

    def _weights(self, residual: Tensor) -> Tensor:
        """gamma `[samples, differences]` (`[samples, graphs, differences]` on a batch), zero of what is left out."""
        count = len(self.df)
        rows = [[self.gram[max(i, j)][min(i, j)] for j in range(count)] for i in range(count)]
        gram = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
        valid = torch.stack(self.valid, dim=-1)
        size = torch.where(valid, gram.diagonal(dim1=-2, dim2=-1), 1.0).rsqrt()
        both = valid.unsqueeze(-1) & valid.unsqueeze(-2)
        gram = torch.where(both, gram, 0.0) * size.unsqueeze(-1) * size.unsqueeze(-2)
        used = valid & _independent(gram, max(self.settings.regularisation, ROUNDING))
        gram = torch.where(used.unsqueeze(-1) & used.unsqueeze(-2), gram, 0.0)
        norm = torch.linalg.matrix_norm(gram.detach()).unsqueeze(-1)
        ridge = torch.where(used, self.settings.regularisation * norm, 1.0)
        right = torch.stack([self.space.dot(df, residual) for df in self.df], dim=-1)
        right = torch.where(used, size * right, 0.0)
        found, _ = torch.linalg.solve_ex(gram + torch.diag_embed(ridge), right.unsqueeze(-1))
        return torch.where(used, found.squeeze(-1) * size, 0.0)


@torch.no_grad()
def _independent(gram: Tensor, limit: float) -> Tensor:
    """Which of some unit vectors are not in the span of later ones, from their Gram matrix."""
    used = []
    for j in reversed(range(gram.shape[-1])):
        pivot = gram[..., j, j]
        used.append(pivot > limit)
        column = gram[..., :, j] * torch.where(used[-1], 1.0 / pivot, 0.0).unsqueeze(-1)
        gram = gram - column.unsqueeze(-1) * gram[..., j, :].unsqueeze(-2)
    return torch.stack(used[::-1], dim=-1)
