"""Sums over the edges of a node: by torch and by torch-scatter, against a loop."""

import itertools
import sys

import pytest
import torch

from irno_graph.nn import gather, segment, segment_mean, segment_sum
from irno_graph.nn.segment import inverse_degree

COUNTS = {  # edges of each node
    "several": [3, 1, 4, 1, 5],
    "none at the ends and between": [0, 0, 2, 0, 7, 1, 0],
    "one node": [6],
    "no edges": [0, 0, 0],
    "no nodes": [],
}
TOLERANCES = {torch.float64: 1e-13, torch.float32: 1e-6, torch.bfloat16: 1e-2}
by_counts = pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
by_dtype = pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
by_shape = pytest.mark.parametrize("shape", [(), (3,), (2, 5), (0,)], ids=str)


@pytest.fixture
def calls(monkeypatch):
    """The number of rows in each call of torch-scatter."""
    pytest.importorskip("torch_scatter", reason="torch-scatter is not installed")
    found, real = [], segment.ROW_SUMS
    assert real is not None

    def counted(edges, pointers):
        found.append(len(edges))
        return real(edges, pointers)

    monkeypatch.setattr(segment, "ROW_SUMS", counted)
    return found


def rows_of(counts, shape=(), dtype=torch.float64):
    """Edges `[edges, *shape]`, their index and pointers, in the order of the index."""
    degree = torch.tensor(counts, dtype=torch.long)
    index = torch.arange(len(counts)).repeat_interleave(degree)
    pointers = torch.tensor([0, *itertools.accumulate(counts)])
    return torch.randn(len(index), *shape, dtype=torch.float64).to(dtype), index, pointers


def slow_sum(edges, index, count):
    total = torch.zeros(count, *edges.shape[1:], dtype=torch.float64)
    for row, place in zip(edges.double(), index.tolist(), strict=True):
        total[place] += row
    return total


def assert_sums(total, edges, index, count, dtype):
    expected, size = slow_sum(edges, index, count), slow_sum(edges.abs(), index, count)
    assert total.dtype == dtype
    assert total.shape == expected.shape
    assert bool(((total.double() - expected).abs() <= TOLERANCES[dtype] * size).all())


@by_counts
@by_dtype
@by_shape
def test_sums_and_means_are_those_of_a_loop(counts, dtype, shape):
    edges, index, pointers = rows_of(counts, shape, dtype)
    order = torch.randperm(len(index))
    assert_sums(segment_sum(edges, index, len(counts)), edges, index, len(counts), dtype)
    assert_sums(segment_sum(edges, index, len(counts), pointers=pointers), edges, index, len(counts), dtype)
    assert_sums(segment_sum(edges[order], index[order], len(counts)), edges, index, len(counts), dtype)
    mean = segment_mean(edges.double(), index, inverse_degree(index, len(counts)).double(), pointers=pointers)
    degree = torch.tensor(counts, dtype=torch.float64).clamp(min=1)
    exact = slow_sum(edges, index, len(counts)) / degree.view(-1, *[1] * len(shape))
    assert torch.allclose(mean, exact, rtol=1e-7)  # degrees are float32


@by_counts
def test_the_derivative_of_a_sum_is_a_gather(counts):
    edges, index, _ = rows_of(counts, (3,))
    edges.requires_grad_()
    weights = torch.randn(len(counts), 3, dtype=torch.float64)
    (grad,) = torch.autograd.grad(segment_sum(edges, index, len(counts)), edges, weights)
    assert torch.equal(grad, gather(weights, index))


def test_another_number_of_pointers_is_refused():
    edges, index, pointers = rows_of([2, 1])
    with pytest.raises(ValueError, match=r"\[count \+ 1=4\], got \[3\]"):
        segment_sum(edges, index, 3, pointers=pointers)


def test_a_torch_scatter_that_does_not_load_is_named_and_left_out(monkeypatch, tmp_path):
    (tmp_path / "torch_scatter.py").write_text("raise OSError('undefined symbol')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_scatter", raising=False)
    with pytest.warns(RuntimeWarning, match=r"undefined symbol.*build it again for torch"):
        assert segment._row_sums() is None


def test_without_torch_scatter_torch_sums(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_scatter", None)
    assert segment._row_sums() is None


@pytest.mark.extras
@by_counts
@by_dtype
@by_shape
def test_torch_scatter_has_the_sums_and_gradients_of_a_loop(calls, counts, dtype, shape):
    edges, index, pointers = rows_of(counts, shape, dtype)
    edges.requires_grad_()
    total = segment_sum(edges, index, len(counts), pointers=pointers)
    assert calls == [len(index)]
    assert_sums(total.detach(), edges.detach(), index, len(counts), dtype)
    weights = torch.randn(total.shape, dtype=torch.float64).to(dtype)
    (grad,) = torch.autograd.grad(total, edges, weights)
    assert torch.equal(grad, gather(weights, index))


@pytest.mark.extras
@pytest.mark.parametrize("shape", [(), (2, 5)], ids=str)
def test_torch_scatter_takes_rows_that_are_not_contiguous(calls, shape):
    edges, index, pointers = rows_of([3, 0, 2], (*shape, 4))
    edges = edges.movedim(-1, 0)[1]
    assert_sums(segment_sum(edges, index, 3, pointers=pointers), edges, index, 3, torch.float64)
    row = edges[:1].expand_as(edges)
    assert_sums(segment_sum(row, index, 3, pointers=pointers), row, index, 3, torch.float64)
    assert len(calls) == 2


@pytest.mark.extras
def test_derivatives_of_torch_scatter_are_those_of_differences(calls):
    edges, index, pointers = rows_of([3, 0, 2], (2,))

    def energy(values):
        return segment_sum(values.sin(), index, 3, pointers=pointers).square()

    edges.requires_grad_()
    assert torch.autograd.gradcheck(energy, edges, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(energy, edges)
    assert calls


@pytest.mark.extras
def test_transforms_compilers_autocast_and_unsorted_rows_go_without_torch_scatter(calls):
    edges, index, pointers = rows_of([3, 0, 2], (2,))

    def total(values):
        return segment_sum(values, index, 3, pointers=pointers)

    exact = total(edges)
    assert calls == [5]
    values, slope = torch.func.jvp(total, (edges,), (2 * edges,))[:2]
    assert torch.equal(values, exact)
    assert torch.allclose(slope, 2 * exact)
    assert torch.equal(torch.func.vmap(total)(edges[None])[0], exact)
    assert torch.func.hessian(lambda values: total(values).square().sum())(edges).shape == (5, 2, 5, 2)
    assert torch.equal(torch.compile(total, backend="eager", fullgraph=True)(edges), exact)
    with torch.autocast("cpu"):
        assert torch.equal(total(edges), exact)
    assert torch.equal(segment_sum(edges, index, 3), exact)
    whole = (8 * edges).long()
    assert torch.equal(total(whole), slow_sum(whole, index, 3).long())
    assert calls == [5]


@pytest.mark.extras
def test_a_layer_on_the_edges_of_a_mesh_is_the_same_with_torch_scatter_and_without(calls, box, monkeypatch):
    source, target = box.edge_index
    count = box.num_nodes
    pointers = torch.searchsorted(target, torch.arange(count + 1))
    layer, inverse = torch.nn.Linear(4, 4).double(), inverse_degree(target, count).double()
    nodes = torch.randn(count, 3, 4, dtype=torch.float64)  # [nodes, samples, channels]
    found = []
    for torch_scatter in (True, False):
        if not torch_scatter:
            monkeypatch.setattr(segment, "ROW_SUMS", None)
        value = nodes
        for _ in range(2):
            value = segment_mean(gather(layer(value).sin(), source), target, inverse, pointers=pointers)
        found.append((value, *torch.autograd.grad(value.square().sum(), list(layer.parameters()))))
    assert calls == [len(source)] * 2
    assert all(torch.allclose(one, two, rtol=1e-10, atol=1e-12) for one, two in zip(*found, strict=True))
