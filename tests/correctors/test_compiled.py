"""The tensor part of a correction, compiled: one graph without breaks, the same numbers and gradients."""

import shutil

import domains
import pytest
import torch
from corrector_kinds import TIMES, with_features
from torch_geometric.data import Batch

from irno_graph.correctors import EdgeMessagePassing, MessagePassing, MultiscaleMessagePassing, Options
from irno_graph.graph import Graph
from irno_graph.mesh import periodic_box

# the compiler looks at `grad` of tensors that have none
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")

CORRECTORS = {
    "flat": lambda **options: MessagePassing(3, 2, hidden=8, layers=1, options=Options(small=1.0, **options)),
    "multiscale": lambda **options: MultiscaleMessagePassing(
        3, 2, hidden=8, levels=1, modes=4, options=Options(small=1.0, **options)
    ),
    "edges": lambda **options: EdgeMessagePassing(
        3, 2, hidden=8, layers=2, options=Options(small=1.0, **options)
    ),
}


@pytest.fixture(autouse=True)
def _forget():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def small(nodes=30):
    return with_features(Graph.from_mesh(periodic_box(nodes, seed=3)))


def assert_compiles(corrector, graph, samples=2, **how):
    """Value and gradients of the compiled `compute` are those of the eager one."""
    compiled = torch.compile(corrector.compute, fullgraph=True, **how)
    geometry = corrector.geometry(graph)
    x, h = (torch.randn(samples, graph.num_nodes, channels).requires_grad_() for channels in (3, 2))
    times = torch.tensor([[list(TIMES.values())]])[..., : corrector.options.times]
    covector = torch.randn(samples, graph.num_nodes, 2)
    inputs, found = [x, h, *corrector.parameters()], []
    for compute in (compiled, corrector.compute):
        value = compute(h, corrector.given(x, geometry, times), geometry)
        grads = torch.autograd.grad(value, inputs, covector, allow_unused=True, materialize_grads=True)
        found.append((value, *grads))
    for one, other in zip(*found, strict=True):
        size = max(1.0, float(other.detach().abs().max()))
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * size)


@pytest.mark.parametrize("kind", CORRECTORS)
def test_there_is_one_graph_without_breaks_and_its_gradients_are_right(kind):
    assert_compiles(CORRECTORS[kind](static=2, time=True), small(), backend="aot_eager")


def test_parts_of_a_batch_are_one_graph_too():
    batch = Batch.from_data_list([Graph.from_mesh(domains.disk(1)), small()])
    corrector = MultiscaleMessagePassing(3, 2, hidden=4)
    assert len(corrector.geometry(batch).parts) == 2
    assert_compiles(corrector, batch, backend="eager")


def test_numbers_of_nodes_and_samples_may_change():
    """As in training on several meshes."""
    corrector = MessagePassing(3, 2, hidden=4, layers=1, options=Options(small=1.0))
    for nodes, samples in ((30, 2), (50, 3)):
        assert_compiles(corrector, small(nodes), samples, backend="eager", dynamic=True)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("c++") is None, reason="the compiler makes C++, and no C++ compiler is there"
)
def test_compiled_code_gives_the_same_numbers():
    assert_compiles(MessagePassing(3, 2, hidden=4, layers=1, options=Options(small=1.0)), small())
