"""Mean messages: in pieces, by plain torch, and by their definition edge by edge."""

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.nn.functional import silu

from irno_graph.nn import messages, pieces
from irno_graph.nn.messages import Messages, mean_messages
from irno_graph.nn.pieces import ordered_edges

WIDTH, FEATURES = 4, 3
TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-5}
SETS = {  # senders, receivers, ends of the edges
    "several": (6, 6, [(5, 0), (1, 0), (2, 1), (0, 3), (3, 3), (5, 3), (1, 3), (4, 5)]),
    "other nodes": (7, 3, [(6, 0), (0, 0), (1, 0), (6, 1), (3, 2), (3, 2)]),
    "no edges to the first and the last": (3, 5, [(0, 1), (2, 1), (1, 3), (0, 3)]),
    "one receiver": (9, 1, [(sender, 0) for sender in range(9)]),
    "no edges": (3, 4, []),
    "unsorted": (5, 4, [(1, 3), (0, 0), (4, 2), (2, 0), (3, 3), (1, 0)]),
}
by_set = pytest.mark.parametrize("kind", SETS)
by_samples = pytest.mark.parametrize("samples", [1, 3])
by_memory = pytest.mark.parametrize("memory", ["recompute", "keep"])
with_received = pytest.mark.parametrize("received", [True, False], ids=["received", "alone"])


@pytest.fixture(autouse=True, params=[1, 5, 4096], ids=lambda rows: f"rows={rows}")
def piece_rows(request, monkeypatch):
    """Pieces of one receiver each, with boundaries in the middle, and a single piece."""
    monkeypatch.setattr(pieces, "PIECE_ROWS", request.param)
    return request.param


def problem(kind="several", samples=1, received=True, dtype=torch.float64):
    """Messages whose tensors want gradients, and edges; degrees in the dtype of the numbers."""
    senders, receivers, ends = SETS[kind]
    source, target = torch.tensor(ends, dtype=torch.long).reshape(-1, 2).T
    inverse = 1.0 / torch.bincount(target, minlength=receivers).clamp(min=1).to(dtype)
    features = torch.randn(len(ends), FEATURES, dtype=torch.float64).to(dtype)
    edges = ordered_edges(source, target, features, inverse, None)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64).to(dtype).requires_grad_()

    given = Messages(
        random(senders, samples, WIDTH),
        random(receivers, samples, WIDTH) if received else None,
        edges.features.clone().requires_grad_(),
        random(2 * WIDTH, FEATURES),
    )
    return given, edges


def slow(given, edges):
    """The definition, one edge and one sample after the other."""
    shift, gate = given.weight[:WIDTH], given.weight[WIDTH:]
    receivers, samples = len(edges.inverse_degree), given.sent.shape[1]
    nothing = 0.0 * sum(part.sum() for part in tensors(given)) + torch.zeros(WIDTH, dtype=given.sent.dtype)
    totals = [[nothing] * samples for _ in range(receivers)]
    degree = [0] * receivers
    pairs = zip(edges.senders.tolist(), edges.receivers.tolist(), given.features, strict=True)
    for source, target, feature in pairs:
        degree[target] += 1
        for sample in range(samples):
            before = given.sent[source, sample] + shift @ feature
            if given.received is not None:
                before = before + given.received[target, sample]
            totals[target][sample] = totals[target][sample] + silu(before) * (1.0 + gate @ feature)
    rows = [torch.stack(row) / max(count, 1) for row, count in zip(totals, degree, strict=True)]
    return torch.stack(rows)


def tensors(given):
    return tuple(part for part in given if part is not None)


def repacked(parts):
    """`Messages` of three or four tensors."""
    return Messages(*parts) if len(parts) == 4 else Messages(parts[0], None, *parts[1:])


def slopes(value, given, covector):
    return torch.autograd.grad(value, tensors(given), covector, allow_unused=True, materialize_grads=True)


def assert_same(found, expected, dtype):
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


@by_set
@by_samples
@with_received
@by_memory
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_values_and_all_gradients_are_those_of_the_definition(kind, samples, received, memory, dtype):
    given, edges = problem(kind, samples, received, dtype)
    exact = repacked([part.detach().double().requires_grad_() for part in tensors(given)])
    expected = slow(exact, edges)
    covector = torch.randn(expected.shape, dtype=torch.float64)
    value = mean_messages(given, edges, memory)
    with torch.no_grad():
        assert_same([mean_messages(given, edges, memory)], [value], dtype)
    wanted = [part.to(dtype) for part in (expected, *slopes(expected, exact, covector))]
    assert_same([value, *slopes(value, given, covector.to(dtype))], wanted, dtype)


def test_boundaries_between_pieces_cut_the_edges_once(piece_rows):
    _, edges = problem()
    found = edges.pieces(1)
    assert len(found) == {1: 6, 5: 2, 4096: 1}[piece_rows]
    assert torch.equal(torch.cat([piece.senders for piece in found]), edges.senders)
    assert torch.equal(torch.cat([piece.index + piece.receivers.start for piece in found]), edges.receivers)
    if piece_rows == 5:
        assert [piece.edges for piece in found] == [slice(0, 3), slice(3, 8)]
        assert len(edges.pieces(3)) == 6  # rows are edges times samples


@pytest.mark.parametrize("nodes", [37, 200])
@by_samples
@with_received
def test_pieces_of_many_random_edges_are_plain_torch(nodes, samples, received):
    source, target = torch.randint(0, nodes, (2, 9 * nodes))
    inverse = 1.0 / torch.bincount(target, minlength=nodes).clamp(min=1).double()
    edges = ordered_edges(source, target, torch.randn(9 * nodes, FEATURES).double(), inverse, None)
    sent, other = torch.randn(2, nodes, samples, WIDTH).double().requires_grad_()
    given = Messages(
        sent,
        other if received else None,
        edges.features.clone().requires_grad_(),
        torch.randn(2 * WIDTH, FEATURES).double().requires_grad_(),
    )
    covector = torch.randn_like(sent)
    plain, cut = (mean_messages(given, edges, memory) for memory in ("keep", "recompute"))
    found, expected = ((value, *slopes(value, given, covector)) for value in (cut, plain))
    assert_same(found, expected, torch.float64)


@by_memory
def test_edges_of_two_graphs_at_once_are_those_of_each(memory):
    """Of a batch: the second graph's nodes come after those of the first."""
    parts = [problem("several", 3), problem("other nodes", 3)]
    weight = parts[0][0].weight
    (first, one), (second, two) = parts
    expected = torch.cat(
        [mean_messages(first, one, memory), mean_messages(second._replace(weight=weight), two, memory)]
    )
    edges = ordered_edges(
        torch.cat([one.senders, two.senders + len(first.sent)]),
        torch.cat([one.receivers, two.receivers + len(one.inverse_degree)]),
        torch.cat([one.features, two.features]),
        torch.cat([one.inverse_degree, two.inverse_degree]),
        torch.tensor([0] * len(one.inverse_degree) + [1] * len(two.inverse_degree)),
    )
    assert first.received is not None
    assert second.received is not None
    together = Messages(
        torch.cat([first.sent, second.sent]),
        torch.cat([first.received, second.received]),
        torch.cat([first.features, second.features]),
        weight,
    )
    value = mean_messages(together, edges, memory)
    covector = torch.randn_like(value)
    inputs = [*tensors(first), second.sent, second.received, second.features]
    assert_same([value], [expected], torch.float64)
    found, wanted = (torch.autograd.grad(out, inputs, covector) for out in (value, expected))
    assert_same(found, wanted, torch.float64)


@by_memory
@pytest.mark.parametrize("wanted", range(4))
def test_each_gradient_is_there_without_the_others(memory, wanted):
    given, edges = problem(samples=3)
    value = slow(given, edges)
    covector = torch.randn_like(value)
    expected = slopes(value, given, covector)[wanted]
    alone = repacked([part.detach().requires_grad_(place == wanted) for place, part in enumerate(given)])
    (found,) = torch.autograd.grad(mean_messages(alone, edges, memory), alone[wanted], covector)
    assert_same([found], [expected], torch.float64)


@by_memory
def test_tensors_that_are_not_contiguous_are_taken(memory):
    _, edges = problem(samples=3)
    wide = torch.randn(3, 2 * WIDTH, 6, dtype=torch.float64)
    sent = wide.permute(2, 0, 1)[..., ::2]  # [nodes, samples, width]
    received = torch.randn(6, 1, WIDTH, dtype=torch.float64).expand(6, 3, WIDTH)
    features = torch.randn(FEATURES, 8, dtype=torch.float64).T
    weight = torch.randn(FEATURES, 2 * WIDTH, dtype=torch.float64).T
    strided = Messages(sent, received, features, weight)
    leaves = Messages(*(part.requires_grad_() for part in (sent, received, features, weight)))
    expected, value = slow(leaves, edges), mean_messages(strided, edges, memory)
    covector = torch.randn(WIDTH, 3, 6, dtype=torch.float64).permute(2, 1, 0)
    found = (value, *slopes(value, strided, covector))
    assert_same(found, (expected, *slopes(expected, leaves, covector)), torch.float64)


@by_memory
def test_no_samples_give_no_values(memory):
    given, edges = problem(samples=0)
    value = mean_messages(given, edges, memory)
    assert value.shape == (6, 0, WIDTH)
    assert all(not grad.any() for grad in slopes(value, given, value))


@pytest.fixture
def small(piece_rows):
    if piece_rows == 1:
        pytest.skip("pieces of 5 rows have boundaries too")
    return problem(samples=2)


class TestDerivatives:
    @by_memory
    @with_received
    def test_they_are_those_of_differences_to_second_order(self, piece_rows, memory, received):
        if piece_rows == 1:
            pytest.skip("pieces of 5 rows have boundaries too")
        given, edges = problem("several", 2, received)

        def energy(*parts):
            return mean_messages(repacked(parts), edges, memory)

        assert gradcheck(energy, tensors(given), check_forward_ad=True)
        assert gradgradcheck(energy, tensors(given))

    @by_memory
    def test_a_gradient_that_is_differentiated_again_is_the_same_one(self, small, memory):
        given, edges = small
        value = mean_messages(given, edges, memory)
        covector = torch.randn_like(value)
        again = torch.autograd.grad(value, tensors(given), covector, create_graph=True)
        expected = slopes(slow(given, edges), given, covector)
        assert all(part.requires_grad for part in again)
        assert_same([part.detach() for part in again], expected, torch.float64)

    @by_memory
    def test_one_tensor_in_two_places_counts_once_in_each(self, small, memory):
        """Also where one input is made of another one: the sum over both ways, to second order."""
        given, edges = small

        def derivatives(function):
            twice = given.sent.detach().clone().requires_grad_()
            made = torch.cat([twice[:4, 0]] * 2)[:, :FEATURES] + given.weight  # [2 * width, features]
            value = function(Messages(twice, twice, given.features, made)).sin().sum()
            wanted = [twice, given.features, given.weight]
            first = torch.autograd.grad(value, wanted, create_graph=True)
            second = torch.autograd.grad(torch.cat([part.flatten() for part in first]).square().sum(), wanted)
            return [part.detach() for part in (*first, *second)]

        found = derivatives(lambda own: mean_messages(own, edges, memory))
        assert_same(found, derivatives(lambda own: slow(own, edges)), torch.float64)

    @by_memory
    def test_transforms_of_torch_func_agree(self, small, memory):
        given, edges = small
        parts = tuple(part.detach() for part in tensors(given))

        def function(*parts):
            return mean_messages(repacked(parts), edges, memory)

        tangents = tuple(torch.randn_like(part) for part in parts)
        value = slow(repacked(parts), edges)
        covector = torch.randn_like(value)
        jacobians = torch.autograd.functional.jacobian(lambda *own: slow(repacked(own), edges), parts)
        flows = [
            torch.tensordot(jacobian, tangent, tangent.dim())
            for jacobian, tangent in zip(jacobians, tangents, strict=True)
        ]
        found, flow = torch.func.jvp(function, parts, tangents)[:2]
        assert_same([found, flow], [value, sum(flows)], torch.float64)
        found, pull = torch.func.vjp(function, *parts)[:2]
        pulled = [torch.tensordot(covector, jacobian, covector.dim()) for jacobian in jacobians]
        assert_same([found, *pull(covector)], [value, *pulled], torch.float64)
        every = tuple(range(4))
        assert_same(torch.func.jacrev(function, every)(*parts), jacobians, torch.float64)
        assert_same(torch.func.jacfwd(function, every)(*parts), jacobians, torch.float64)
        stacked = torch.func.vmap(lambda scale: function(scale * parts[0], *parts[1:]))
        assert_same(stacked(torch.ones(2).double()), [value, value], torch.float64)

    @by_memory
    def test_backward_passes_can_be_mapped(self, small, memory):
        given, edges = small
        value = mean_messages(given, edges, memory)
        covectors = torch.randn(3, *value.shape, dtype=torch.float64)

        def pulled(covector):
            return torch.autograd.grad(value, tensors(given), covector, retain_graph=True)

        expected = [torch.stack(parts) for parts in zip(*map(pulled, covectors), strict=True)]
        assert_same(torch.func.vmap(pulled)(covectors), expected, torch.float64)

    @by_memory
    def test_dual_numbers_flow_through(self, small, memory):
        given, edges = small
        tangent = torch.randn_like(given.sent)
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(given.sent.detach(), tangent)
            flow = forward_ad.unpack_dual(mean_messages(given._replace(sent=dual), edges, memory)).tangent
        expected = torch.func.jvp(
            lambda sent: mean_messages(given._replace(sent=sent), edges, "keep"),
            (given.sent.detach(),),
            (tangent,),
        )[1]
        assert_same([flow], [expected], torch.float64)


@by_memory
def test_under_autocast_products_are_in_half_precision_and_gradients_in_single(memory):
    given, edges = problem(samples=3, dtype=torch.float32)
    expected = slow(given, edges)
    covector = torch.randn_like(expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = mean_messages(given, edges, memory)
    grads = slopes(value, given, covector.to(value.dtype))
    for found, wanted in zip((value, *grads), (expected, *slopes(expected, given, covector)), strict=True):
        torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)
    assert all(grad.dtype == torch.float32 for grad in grads)


class TestMemory:
    def kept(self, memory):
        """Tensors with a row for every edge, other than the features, that are kept for the backward pass."""
        nodes, count = 40, 333
        source, target = torch.randint(0, nodes, (2, count))
        inverse = 1.0 / torch.bincount(target, minlength=nodes).clamp(min=1)
        edges = ordered_edges(source, target, torch.randn(count, FEATURES), inverse, None)
        sent, received = torch.randn(2, nodes, 2, WIDTH).requires_grad_()
        given = Messages(sent, received, edges.features, torch.randn(2 * WIDTH, FEATURES).requires_grad_())
        found = []

        def keep(tensor):
            if tensor.is_floating_point() and len(tensor) >= count:
                found.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            mean_messages(given, edges, memory)
        return [tensor for tensor in found if tensor.data_ptr() != edges.features.data_ptr()]

    @pytest.mark.parametrize("memory", ["auto", "recompute"])
    def test_pieces_keep_nothing_of_the_size_of_the_edges(self, memory):
        assert not self.kept(memory)

    def test_plain_torch_does(self):
        assert len(self.kept("keep")) > 1

    def test_auto_is_in_pieces_on_a_processor_and_keep_never(self, monkeypatch):
        given, edges = problem()
        runs = []
        monkeypatch.setattr(messages, "_plain", lambda *_: runs.append("plain"))
        monkeypatch.setattr(messages, "_run", lambda *_: runs.append("pieces"))
        with torch.no_grad():
            for memory in ("auto", "recompute", "keep"):
                mean_messages(given, edges, memory)
        assert runs == ["pieces", "pieces", "plain"]
