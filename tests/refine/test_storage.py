import json

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
