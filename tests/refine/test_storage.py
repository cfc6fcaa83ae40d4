import json
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.refine import Scaling, with_answers
from irno_graph.refine.storage import describe


def small_model() -> ig.IRNO:
    base = ig.bases.RIGNO(4, 4, architecture=Architecture(processor_steps=1, node_hidden=8, edge_hidden=8))
    corrector = ig.correctors.MultiscaleMessagePassing(4, 4, hidden=8, levels=1)
    one = torch.rand(4) + 0.5
    scaling = Scaling(input_mean=one, input_std=one, mean=one, std=one, error=one)
    return ig.IRNO(base, corrector, alpha=0.4, steps=3, scaling=scaling)


@pytest.fixture
def saved(tmp_path):
    model = small_model()
    return model, ig.save(model, tmp_path / "model.safetensors", about={"seed": 5})


def test_a_loaded_model_gives_the_same_numbers(saved, box):
    model, path = saved
    again = ig.load(path)
    x = torch.randn(2, box.num_nodes, 4)
    assert torch.equal(again(x, box).value, model(x, box).value)
    assert (again.alpha, again.steps, again.base_hash) == (0.4, 3, model.base_hash)
    assert describe(path)["about"] == {"seed": 5}


def test_a_base_alone_is_saved_and_loaded(tmp_path, box):
    base = small_model().base
    again = ig.load(ig.save(base, tmp_path / "base.safetensors"))
    x = torch.randn(box.num_nodes, 4)
    assert torch.equal(again(x, box), base(x, box))


def test_an_altered_weight_is_noticed(saved, tmp_path):
    _, path = saved
    with safe_open(path, framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["corrector.last.bias"] += 1e-3
    save_file(tensors, tmp_path / "altered.safetensors", metadata=header)
    with pytest.raises(ValueError, match="hash"):
        ig.load(tmp_path / "altered.safetensors")


@pytest.mark.parametrize("keep", [0, 7, 100, 5000])
def test_a_truncated_file_is_refused(saved, tmp_path, keep):
    _, path = saved
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cut\.safetensors"):
        ig.load(cut)


def test_foreign_files_are_refused(tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(1)}, foreign)
    with pytest.raises(ValueError, match="something else"):
        ig.load(foreign)
    save_file({"a": torch.ones(1)}, foreign, metadata={"irno_graph": json.dumps({"format": 99})})
    with pytest.raises(ValueError, match="format 2"):
        ig.load(foreign)


def test_unknown_names_list_the_shipped_models():
    with pytest.raises(ValueError, match=r"Shipped models: .*ce-gauss-small"):
        ig.load("no-such-model")


class Twice(torch.nn.Module):
    """A base of the user's."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def forward(self, x: torch.Tensor, graph: ig.Graph, *, lead_time: float | None = None) -> torch.Tensor:
        return (self.factor * (lead_time or 1.0) * x).to(x.dtype)


def persistence(x: torch.Tensor, graph: ig.Graph) -> torch.Tensor:
    return x


def on_grid() -> ig.bases.GridBase:
    return ig.bases.GridBase(torch.nn.Conv2d(4, 4, 1), ig.Graph.from_grid((6, 8), period=(1.0, 1.0)))


OWN_BASES: dict[str, Any] = {
    "function": lambda: persistence,
    "module": Twice,
    "callable": lambda: ig.bases.Callable(Twice()),
    "grid": on_grid,
    "standardised grid": lambda: ig.bases.Standardised(
        on_grid(),
        **dict.fromkeys(("input_mean", "mean"), torch.zeros(4)),
        **dict.fromkeys(("input_std", "std"), torch.full((4,), 2.0)),
    ),
}


@pytest.mark.parametrize("kind", OWN_BASES)
def test_a_base_of_ones_own_stays_out_and_is_given_back(tmp_path, kind):
    torch.manual_seed(3)
    base = OWN_BASES[kind]()
    model = ig.IRNO(base, small_model().corrector, alpha=0.3, steps=2, scaling=small_model().scaling)
    graph = ig.Graph.from_grid((6, 8), period=(1.0, 1.0))
    x = torch.randn(2, 48, 4)
    model.guard = model.guarded(torch.randn(60, 48, 4), graph)
    path = ig.save(model, tmp_path / "model.safetensors")
    with safe_open(path, framework="pt") as file:
        assert not any(name.startswith("base") for name in file.keys())  # noqa: SIM118
    alone = ig.load(path)
    expected = model(x, graph)
    with pytest.raises(ValueError, match=r"saved without its base.*ig\.load\(path, base"):
        alone(x, graph)
    h = model(x, graph, steps=0).value
    assert torch.equal(with_answers(alone, h)(x, graph).value, expected.value)
    again = ig.load(ig.save(alone, tmp_path / "again.safetensors"), base=base)
    for own in (ig.load(path, base=base), again):
        assert torch.equal(own(x, graph).value, expected.value)
        assert own.guard == model.guard
        assert not own.training
        assert not any(value.requires_grad for value in own.base.parameters())


def test_another_base_is_not_taken_for_the_one_that_was_left_out(tmp_path):
    path = ig.save(ig.IRNO(Twice(), small_model().corrector), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="a Twice, got other"):
        ig.load(path, base=Twice(2.5))
    with pytest.raises(ValueError, match="a Twice, got other"):
        ig.load(path, base=persistence)


def test_a_base_that_is_in_the_file_is_not_asked_for(saved, tmp_path):
    model, path = saved
    for own in (path, ig.save(model.corrector, tmp_path / "corrector.safetensors")):
        with pytest.raises(ValueError, match="leave `base` out"):
            ig.load(own, base=model.base)


def test_answers_and_modules_alone_are_not_saved_as_models(tmp_path):
    model = small_model()
    with pytest.raises(ValueError, match="save the model it was called on"):
        ig.save(with_answers(model, torch.zeros(5, 4)), tmp_path / "no.safetensors")
    with pytest.raises(ValueError, match="got Twice"):
        ig.save(Twice(), tmp_path / "no.safetensors")
    with pytest.raises(ValueError, match="got Twice"):
        ig.save(ig.IRNO(model.base, Twice()), tmp_path / "no.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_has_a_name_of_ours_counts_as_ones_own(tmp_path):
    own = type("RIGNO", (Twice,), {})
    path = ig.save(ig.IRNO(own(), small_model().corrector), tmp_path / "model.safetensors")
    assert describe(path)["base"] == {"own": "RIGNO"}
    assert isinstance(ig.load(path, base=own()).base, own)


OPTIONS = ig.correctors.Options(
    static=2,
    time=True,
    lead_time=True,
    invariant=True,
    edge_hidden=5,
    memory="keep",
    small=0.7,
)
CORRECTORS = {
    "flat": lambda options: ig.correctors.MessagePassing(3, 2, hidden=8, layers=2, options=options),
    "all levels": lambda options: ig.correctors.MultiscaleMessagePassing(
        3, 2, hidden=8, layers=2, options=options
    ),
    "spectral": lambda options: ig.correctors.MultiscaleMessagePassing(
        3, 2, hidden=8, levels=2, modes=6, options=options
    ),
    "edges": lambda options: ig.correctors.EdgeMessagePassing(3, 2, hidden=8, layers=3, options=options),
}


@pytest.mark.parametrize("options", [None, OPTIONS], ids=["default", "all set"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", CORRECTORS)
def test_every_corrector_comes_back_with_its_options(tmp_path, box, kind, dtype, options):
    corrector: Any = CORRECTORS[kind](options).to(dtype)
    path = ig.save(corrector, tmp_path / "corrector.safetensors")
    again = ig.load(path)
    assert type(again) is type(corrector)
    assert again.config() == corrector.config()
    assert again.options == (options or ig.correctors.Options())
    assert describe(path)["module"]["config"] == json.loads(json.dumps(corrector.config()))
    graph = box.clone()
    graph.static = torch.randn(graph.num_nodes, 2)
    x, h = (torch.randn(2, graph.num_nodes, channels, dtype=dtype) for channels in (3, 2))
    values = [each(x, h, graph, time=0.1, lead_time=0.2) for each in (corrector.eval(), again)]
    assert values[1].dtype == dtype
    assert torch.equal(*values)


def test_an_anchored_corrector_is_refused_since_its_residual_is_a_function(tmp_path):
    inner = ig.correctors.MessagePassing(3, 4, hidden=8)
    with pytest.raises(ValueError, match="got Anchored: save its weights yourself"):
        ig.save(ig.correctors.Anchored(inner, lambda x, h, graph: x - h, 2), tmp_path / "no.safetensors")
