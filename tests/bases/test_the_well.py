"""Folders of The Well's models against what neuraloperator 0.3 answered, and what is refused."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import irno_graph as ig
from irno_graph.bases.the_well import fetch_the_well, load_the_well, read_the_well
from irno_graph.graph import Graph

HERE = Path(__file__).parent / "the_well"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def _neuralop():
    pytest.importorskip("neuralop", exc_type=ImportError)


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(HERE / "fno", tmp_path / "model"))


def rows(values):
    """`[batch, channels, *grid]` as `[batch, nodes, channels]`."""
    return values.movedim(1, -1).flatten(1, -2)


@pytest.mark.extras
@pytest.mark.usefixtures("_neuralop")
@pytest.mark.parametrize("kind", ["fno", "tfno"])
@pytest.mark.parametrize("parity", ["even", "odd"])
@pytest.mark.parametrize("turned", [False, True])
def test_models_answer_as_in_the_version_they_were_trained_with(kind, parity, turned):
    example = load_file(HERE / kind / "example.safetensors")
    x, y = example[f"{parity}.x"], example[f"{parity}.y"]
    if turned:  # the graph has (ny, nx), the model sees (nx, ny)
        x, y = x.transpose(2, 3), y.transpose(2, 3)
    graph = Graph.from_grid(tuple(x.shape[2:]), period=(1.0, 1.0))
    base = load_the_well(HERE / kind, graph, turned=turned)
    torch.testing.assert_close(base(rows(x), graph), rows(y), rtol=1e-5, atol=1e-6)


@pytest.mark.extras
@pytest.mark.usefixtures("_neuralop")
def test_open_grids_are_not_padded_as_the_models_were_not():
    example = load_file(HERE / "fno" / "example.safetensors")
    graph = Graph.from_grid((12, 10))
    base = load_the_well(HERE / "fno", graph, turned=False)
    torch.testing.assert_close(
        base(rows(example["even.x"]), graph), rows(example["even.y"]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.extras
@pytest.mark.usefixtures("_neuralop")
@pytest.mark.parametrize("kind", ["fno", "tfno"])
def test_a_model_is_kept_in_files_of_this_library(kind, tmp_path):
    graph = Graph.from_grid((12, 10), period=(1.0, 1.0))
    base = load_the_well(HERE / kind, graph)
    again = ig.load(ig.save(base, tmp_path / "base.safetensors"))
    x = torch.randn(2, 120, 2)
    assert torch.equal(again(x, graph), base(x, graph))


@pytest.mark.extras
@pytest.mark.usefixtures("_neuralop")
def test_weights_that_do_not_fit_are_refused(folder):
    graph = Graph.from_grid((12, 10))
    with pytest.raises(ValueError, match=r"in 2 dimensions.*got 1"):
        load_the_well(folder, Graph.from_grid((12,)))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_channels": 4}))
    with pytest.raises(ValueError, match="do not fit"):
        load_the_well(folder, graph)
    save_file({"other": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="pass `build`"):
        load_the_well(folder, graph)


def test_another_architecture_comes_from_the_config(tmp_path):
    """A pointwise model is a product with its matrix at each node; a kernel along x moves with `turned`."""
    torch.manual_seed(0)
    built = nn.Conv2d(2, 3, (3, 1), padding=(1, 0))
    (tmp_path / "config.json").write_text(json.dumps({"reach": 3}))
    save_file(built.state_dict(), tmp_path / "model.safetensors")
    graph = Graph.from_grid((4, 6))
    x = torch.randn(5, 24, 2)

    def build(config):
        return nn.Conv2d(2, 3, (config["reach"], 1), padding=(1, 0))

    on_grid = x.unflatten(1, (4, 6)).movedim(-1, 1)  # [batch, channels, ny, nx]
    straight = load_the_well(tmp_path, graph, build=build, turned=False)
    torch.testing.assert_close(straight(x, graph), rows(built(on_grid)))
    turned = load_the_well(tmp_path, graph, build=build)
    expected = built(on_grid.transpose(2, 3)).transpose(2, 3)
    torch.testing.assert_close(turned(x, graph), rows(expected))


def test_a_pickle_is_read_only_when_told_and_then_weights_alone(folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({"model_state_dict": weights, "epoch": 3}, folder / "best.pt")
    with pytest.raises(ValueError, match="allow_pickle=True"):
        read_the_well(folder)
    _, found = read_the_well(folder, allow_pickle=True)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    torch.save({"model_state_dict": Path("code")}, folder / "best.pt")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        read_the_well(folder, allow_pickle=True)


@pytest.mark.parametrize("keep", [0, 5, 100, 3000])
def test_damaged_and_missing_files_are_named(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        read_the_well(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"should hold model\.safetensors, got \['config\.json'"):
        read_the_well(folder)
    (folder / "config.json").write_text("{" if keep else "[1]")
    with pytest.raises(ValueError, match=r"config\.json"):
        read_the_well(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"config\.json"):
        read_the_well(folder)


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:7], COMMIT.upper(), COMMIT + "\n"])
def test_only_a_commit_is_fetched(revision):
    with pytest.raises(ValueError, match="hash of a commit"):
        fetch_the_well("someone/something", revision=revision)


def test_without_huggingface_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="hub"):
        fetch_the_well("someone/something", revision=COMMIT)


@pytest.mark.extras
def test_offline_the_cache_is_enough(tmp_path):
    """The cache as huggingface_hub lays it out: the snapshot of a commit holds its files."""
    hub = pytest.importorskip("huggingface_hub")
    snapshot = tmp_path / "models--someone--something" / "snapshots" / COMMIT
    shutil.copytree(HERE / "fno", snapshot)
    (tmp_path / "models--someone--something" / "refs").mkdir()
    found = fetch_the_well("someone/something", revision=COMMIT, cache=tmp_path, offline=True)
    assert found.samefile(snapshot)
    config, _ = read_the_well(found)
    assert config["modes2"] == 6
    with pytest.raises(hub.errors.LocalEntryNotFoundError):
        fetch_the_well("someone/else", revision=COMMIT, cache=tmp_path, offline=True)
