"""Refined models as bases of others: a chain is what its passes give one after the other, on disk too."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.refine import Guard, RefinedBase, Scaling, with_answers
from irno_graph.refine.facts import facts
from irno_graph.refine.hashes import description_hash, weights_hash
from irno_graph.refine.limits import MOST_NESTED, StorageError
from irno_graph.refine.storage import describe

SIZES = Architecture(processor_steps=1, node_hidden=6, edge_hidden=4, correction_hidden=None)


def scaling() -> Scaling:
    one = torch.rand(3) + 0.5
    return Scaling(input_mean=one, input_std=one, mean=one, std=one, error=one)


def corrector() -> torch.nn.Module:
    """With a last layer that is not small: each pass changes its state by about 1."""
    options = ig.correctors.Options(small=1.0)
    return ig.correctors.MessagePassing(3, 3, hidden=6, layers=1, options=options)


def chain(passes: int, base: Any = None, **settings: Any) -> Any:
    """A base and so many passes with a corrector each."""
    model = base or ig.bases.RIGNO(3, 3, architecture=SIZES, lead_time=0.25)
    for _ in range(passes):
        inner = RefinedBase(model) if isinstance(model, ig.IRNO) else model
        model = ig.IRNO(inner, corrector(), scaling=scaling(), **{"alpha": 1.0, "steps": 1, **settings})
    return model


def test_a_chain_of_two_is_both_by_hand(box):
    """h_1 = h_0 + a error_1 Phi_1((x - m_1)/s_1, (h_0 - m_1)/s_1), then the same with the second pass's parts."""
    model = chain(2, alpha=0.5)
    inner = model.base.model
    x = torch.randn(2, box.num_nodes, 3)
    with torch.no_grad():
        h = inner.base(x, box)
        for own in (inner, model):
            scale = own.scaling
            h = h + 0.5 * scale.correction(own.corrector(scale.input(x), scale.state(h), box))
        out = model(x, box)
    assert torch.equal(out.value, h)
    assert torch.equal(out.states[0], inner(x, box).value)
    assert (out.value - out.states[0]).abs().max() > 1e-2  # a pass that does nothing would be equal, too


def test_the_inner_model_s_own_steps_solver_and_guard_hold(box):
    x = torch.randn(4, box.num_nodes, 3)
    inner = chain(1, alpha=ig.refine.Harmonic(0.5, 2), steps=3, solver=ig.refine.Anderson())
    assert torch.equal(RefinedBase(inner)(x, box), inner(x, box, steps=3).value)
    inner.guard = Guard(3, (0.0,) * 5, (1.0,) * 5, (1.0,) * 5, 1e-9, 0.1)  # lets nothing pass
    assert torch.equal(RefinedBase(inner)(x, box), inner(x, box, steps=0).value)


def test_times_go_to_the_innermost_base(box):
    """Of a derivative stepper, whose step changes with `lead_time`; the default is the innermost base's own."""
    model = chain(3)
    assert model.lead_time == 0.25
    x = torch.randn(box.num_nodes, 3)
    h = [model(x, box, time=0.3, lead_time=tau).value for tau in (0.25, 0.75)]
    assert (h[0] - h[1]).abs().max() > 1e-3
    seen = []

    class Watched(torch.nn.Module):
        def forward(self, x: Any, graph: Any, *, time: Any = None, lead_time: Any = None) -> Any:
            seen.append((time, lead_time))
            return x

    chain(3, Watched())(x, box, time=0.3, lead_time=0.75)
    assert seen == [(0.3, 0.75)]


def test_the_inner_model_is_frozen(box):
    inner = chain(1).train()
    base = RefinedBase(inner)
    assert not inner.training
    assert not any(value.requires_grad for value in base.parameters())
    model = ig.IRNO(base, corrector()).train()
    assert model.corrector.training
    assert not any(own.training for own in inner.modules())
    assert not any(value.requires_grad for value in model.base.parameters())
    RefinedBase(inner).train()
    assert not inner.training
    x = torch.randn(box.num_nodes, 3, requires_grad=True)
    assert not model.base(x, box).requires_grad
    model(x, box).value.sum().backward()
    assert all(value.grad is None for value in inner.parameters())
    assert all(value.grad is not None for value in model.corrector.parameters())


def test_a_base_without_a_model_is_refused():
    with pytest.raises(ValueError, match="should be an IRNO with its base, got RIGNO"):
        RefinedBase(ig.bases.RIGNO(3, 3, architecture=SIZES))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="got Given"):
        RefinedBase(with_answers(chain(1), torch.zeros(5, 3)))


def test_a_chain_comes_back_bit_by_bit(tmp_path, box):
    model = chain(3, alpha=0.5, steps=2, solver=ig.refine.Aitken())
    model.base.model.guard = Guard(2, (0.0,) * 5, (1.0,) * 5, (1.0,) * 5, 1e9, 0.1)
    path = ig.save(model, tmp_path / "model.safetensors")
    again = ig.load(path)
    x = torch.randn(2, box.num_nodes, 3)
    assert torch.equal(again(x, box).value, model(x, box).value)
    assert again.base_hash == model.base_hash == weights_hash(again.base)
    assert again.base.model.guard == model.base.model.guard
    assert again.base.model.base.model.base_hash == weights_hash(model.base.model.base.model.base)
    assert not any(value.requires_grad for value in again.base.parameters())
    (row,) = (own for own in facts(describe(path), {"base": 7}) if own.name == "base")
    kind = "RefinedBase(RefinedBase(RIGNO + MessagePassing) + MessagePassing)"
    assert row.text.startswith(f"{kind}, 7 weights: in_channels 3")


def test_its_hash_is_that_of_all_weights_within(tmp_path):
    model = chain(2)
    before = model.base_hash
    for value in (model.base.model.base.network, model.base.model.corrector):
        first = next(value.parameters())
        first.data += 1.0
        assert model.base_hash != before
        first.data -= 1.0
    model.base.model.scaling.error += 1.0
    assert model.base_hash != before


def test_around_a_module_of_ones_own_it_stays_out(tmp_path, box):
    """The innermost base is a function: what is around it, correctors too, is given back by the user."""
    inner = chain(1, lambda x, graph: 2 * x)
    model = ig.IRNO(RefinedBase(inner), corrector())
    path = ig.save(model, tmp_path / "model.safetensors")
    assert describe(path)["base"] == {"own": "RefinedBase"}
    alone = ig.load(path)
    with pytest.raises(ValueError, match="got LeftOut"):
        RefinedBase(alone)
    with pytest.raises(ValueError, match="should have the weights"):
        ig.load(path, base=RefinedBase(chain(1, lambda x, graph: 2 * x)))
    x = torch.randn(box.num_nodes, 3)
    assert torch.equal(ig.load(path, base=RefinedBase(inner))(x, box).value, model(x, box).value)
    rigno = ig.bases.RIGNO(3, 3, architecture=SIZES)
    own = ig.IRNO(RefinedBase(ig.IRNO(rigno, torch.nn.Identity())), corrector())
    assert describe(ig.save(own, tmp_path / "own.safetensors"))["base"] == {"own": "RefinedBase"}


def rewritten(path: Path, change: Any) -> Path:
    """The file with its description changed, and hashes that fit the change."""
    with safe_open(path, framework="pt") as file:
        said = json.loads(file.metadata()["irno_graph"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(said)
    said["description_hash"] = description_hash(said)
    target = path.with_name("changed.safetensors")
    save_file(tensors, target, metadata={"irno_graph": json.dumps(said)})
    return target


def deeper(entry: dict[str, Any], times: int) -> dict[str, Any]:
    inner = dict(entry)
    for _ in range(times):
        inner = {**entry, "base": inner}
    return inner


BROKEN: dict[str, Any] = {
    "steps": lambda inner: inner.update(steps=10**7),
    "other steps": lambda inner: inner.update(steps=-1),
    "alpha": lambda inner: inner.update(alpha=3.0),
    "no corrector": lambda inner: inner.pop("corrector"),
    "a corrector of another size": lambda inner: inner["corrector"]["config"].update(hidden=7),
    "a huge corrector": lambda inner: inner["corrector"]["config"].update(hidden=10**9),
    "a word for a size": lambda inner: inner["corrector"]["config"].update(hidden="os.system"),
    "a module for a kind": lambda inner: inner["corrector"].update(kind="os.system"),
    "a base of ones own": lambda inner: inner.update(base={"own": "Mine"}),
    "another base": lambda inner: inner.update(base_hash="0" * 64),
    "other units": lambda inner: inner["scaling"]["mean"].__setitem__(0, 0.25),
    "no units": lambda inner: inner.update(scaling=None),
    "a solver of words": lambda inner: inner.update(solver={"kind": "Anderson", "memory": "os.system"}),
    "settings": lambda inner: inner.update(config={"lead_time": 3}),
    "one more": lambda inner: inner.update(base=dict(inner)),
    "too many": lambda inner: inner.update(deeper(inner, MOST_NESTED)),
    "very many": lambda inner: inner.update(deeper(inner, 400)),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = ig.save(chain(2), tmp_path_factory.mktemp("saved") / "model.safetensors")
    assert isinstance(ig.load(rewritten(path, lambda said: None)).base, RefinedBase)
    return path


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_inner_part_is_refused(saved, kind):
    with pytest.raises(StorageError, match=r"changed\.safetensors"):
        ig.load(rewritten(saved, lambda said: BROKEN[kind](said["base"])))


def test_the_nesting_is_bounded_where_it_is_saved_and_where_it_is_loaded(tmp_path, monkeypatch):
    model = chain(MOST_NESTED + 1)
    path = ig.save(model, tmp_path / "model.safetensors")
    assert ig.load(path).base_hash == model.base_hash
    with pytest.raises(StorageError, match=f"at most {MOST_NESTED} bases"):
        ig.save(ig.IRNO(RefinedBase(model), corrector()), tmp_path / "no.safetensors")
    assert not (tmp_path / "no.safetensors").exists()
    monkeypatch.setattr("irno_graph.refine.kinds.MOST_NESTED", MOST_NESTED - 1)
    with pytest.raises(StorageError, match=f"at most {MOST_NESTED - 1} bases"):
        ig.load(path)
