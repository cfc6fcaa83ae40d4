"""`irno-graph export`: a program and the tensors of a mesh, with which torch alone refines."""

from pathlib import Path

import numpy as np
import pytest
import torch

import irno_graph as ig
from irno_graph.cli import run
from irno_graph.mesh import periodic_box, write_mesh


@pytest.fixture
def place(tmp_path: Path) -> Path:
    corrector = ig.correctors.MessagePassing(2, 2, hidden=6, layers=1)
    model = ig.IRNO(lambda x, graph: x, corrector, alpha=0.5, steps=2)
    ig.save(model, tmp_path / "model.safetensors")
    grid = ig.correctors.UNet(2, 2, base_channels=4, depth=1)
    ig.save(ig.IRNO(lambda x, graph: x, grid), tmp_path / "grid.safetensors")
    write_mesh(tmp_path / "mesh.vtu", periodic_box(60, seed=1), lossy=True)
    return tmp_path


def test_a_program_and_a_mesh_are_enough(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, mesh, out, tensors = (
        str(place / name) for name in ("model.safetensors", "mesh.vtu", "r.pt2", "m.npz")
    )
    assert run(["export", model, mesh, out, "--tensors", tensors]) == 0
    assert "r.pt2" in capsys.readouterr().out
    with np.load(tensors) as file:
        known = {name: torch.from_numpy(file[name]) for name in file.files}
    x = torch.randn(2, 60, 2)
    h = torch.randn(2, 60, 2)
    value, _, taken = torch.export.load(out).module()(x, h, torch.tensor([0.5, 0.5, 0.5]), known)
    loaded = ig.refine.with_answers(ig.load(model), h)
    expected = loaded(x, ig.Graph.from_mesh(ig.read_mesh(mesh)), steps=3)
    torch.testing.assert_close(value, expected.value, rtol=1e-5, atol=1e-6)
    assert taken.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model.safetensors", "mesh.vtu", "out.txt"), "end with .pt2 or .onnx"),
        (("model.safetensors", "mesh.vtu", "out.pt2", "--tensors", "m.txt"), "end with .npz"),
        (("grid.safetensors", "mesh.vtu", "out.pt2"), "got UNet"),
        (("nothing.safetensors", "mesh.vtu", "out.pt2"), "nothing.safetensors"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(place)
    assert run(["export", *arguments]) == 2
    found = capsys.readouterr()
    assert words in found.err
    assert found.err.count("\n") == 1
    assert not list(place.glob("out*"))
