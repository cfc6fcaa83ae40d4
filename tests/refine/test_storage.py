import json
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.refine import Scaling
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
    with pytest.raises(ValueError, match="format 1"):
        ig.load(foreign)


def test_unknown_names_list_the_shipped_models():
    with pytest.raises(ValueError, match=r"Shipped models: .*ce-gauss-small"):
        ig.load("no-such-model")


def test_a_function_cannot_be_saved(tmp_path):
    model = ig.IRNO(ig.bases.Callable(lambda x, graph: x), small_model().corrector)
    with pytest.raises(ValueError, match="Callable"):
        ig.save(model, tmp_path / "no.safetensors")
    assert list(tmp_path.iterdir()) == []


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
