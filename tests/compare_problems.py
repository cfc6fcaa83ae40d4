"""A problem and a model for tests of comparisons: the truth is linear in x, the base is too."""

import torch

from irno_graph.data import Moments
from irno_graph.experiments.compare.kinds import make_corrector
from irno_graph.experiments.compare.problem import Pairs, Problem
from irno_graph.graph import Graph
from irno_graph.refine import IRNO


def linear_problem(seed=0):
    """y = 2 x + 1/2 on 6 x 6 points; training, validation and test pairs are the same 16."""
    generator = torch.Generator().manual_seed(seed)
    grid = Graph.from_grid((6, 6), period=(1.0, 1.0))
    x = torch.randn(16, 36, 1, generator=generator)
    pairs = Pairs(grid, x, 2 * x + 0.5)
    return Problem(pairs, pairs, {"same": pairs}, ("u",), Moments.of([x]), Moments.of([pairs.y]))


def linear_model():
    """h0 = 1.5 x and a small corrector of messages."""
    torch.manual_seed(0)
    corrector = make_corrector("message-passing", {"layers": 1}, 1, 1, Graph.from_grid((6, 6)), width=4)
    return IRNO(lambda x, graph: 1.5 * x, corrector, alpha=0.5, steps=2)
