"""Small correctors whose refinements are known exactly."""

from collections import Counter

import torch
from torch import nn

import irno_graph as ig

NODES, CHANNELS = 6, 2
SIZE = NODES * CHANNELS


class Relax(nn.Module):
    """Phi(x, h) = c(x) - h + 0.1 sin(h W) with c(x) = tanh(x V), which is prepared.

    With `small=0`, W = 0, it is affine and c(x) is its fixed point.
    """

    def __init__(self, channels, small=1.0):
        super().__init__()
        self.known = nn.Parameter(torch.randn(channels, channels, dtype=torch.float64))
        self.mix = nn.Parameter(small * torch.randn(channels, channels, dtype=torch.float64))
        self.calls: Counter[str] = Counter()

    def prepare(self, x, graph, *, time=None, lead_time=None):
        self.calls["prepare"] += 1
        target = torch.tanh(x @ self.known)

        def phi(h):
            self.calls["phi"] += 1
            return target - h + 0.1 * torch.sin(h @ self.mix)

        return phi

    def forward(self, x, h, graph):
        return self.prepare(x, graph)(h)


class Plain(nn.Module):
    """The same corrector without its `prepare`."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, h, graph):
        return self.inner(x, h, graph)


class Clock(nn.Module):
    """Phi = time + 10 lead_time, prepared or not; remembers what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, x, h, graph, *, time=None, lead_time=None):
        self.asked.append((time, lead_time))
        return torch.zeros_like(h) + time + 10 * (0.25 if lead_time is None else lead_time)


class PreparedClock(Clock):
    def prepare(self, x, graph, *, time=None, lead_time=None):
        return lambda h: self(x, h, graph, time=time, lead_time=lead_time)


class Jacobi(nn.Module):
    """Phi(h) = the mean of the neighbours' h - h, whose fixed points are the graph's harmonic functions."""

    def forward(self, x, h, graph):
        source, target = graph.edge_index
        degree = torch.bincount(target, minlength=graph.num_nodes).to(h.dtype)
        sums = torch.zeros_like(h).index_add(-2, target, h[..., source, :])
        return sums / degree[:, None] - h


class Affine(nn.Module):
    """Phi(h) = b - A h on all nodes and channels at once."""

    def __init__(self, matrix, right):
        super().__init__()
        self.matrix, self.right = matrix, right

    def forward(self, x, h, graph):
        return self.right - (h.flatten(-2) @ self.matrix.T).reshape(h.shape)


class Bend(nn.Module):
    """Phi(h) = function(h) at each node alone."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, h, graph):
        return self.function(h)


def refined(corrector, solver, alpha=0.5, **options):
    return ig.IRNO(lambda x, graph: x, corrector, alpha=alpha, solver=solver, **options)


def affine(spread):
    return Affine(
        torch.eye(SIZE).double() + spread * torch.randn(SIZE, SIZE).double(),
        torch.randn(NODES, CHANNELS).double(),
    )
