import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from corrector_kinds import with_features

from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box


@pytest.fixture(autouse=True)
def _own_cache_and_seed(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("IRNO_GRAPH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    torch.manual_seed(0)
    np.random.default_rng(0)


@pytest.fixture(scope="session")
def box() -> Graph:
    """An irregular periodic graph of 150 nodes."""
    return Graph.from_mesh(periodic_box(150, seed=3))


@pytest.fixture(scope="session")
def featured_box() -> Graph:
    """The same graph, with features at its nodes."""
    return with_features(Graph.from_mesh(periodic_box(150, seed=3)))
