import h5py
import numpy as np
import pytest
import torch
from torch import nn

import irno_graph as ig
from irno_graph.bases.rigno import Architecture
from irno_graph.cli import run
from irno_graph.experiments.answers import refine_file
from irno_graph.mesh import periodic_box, read_mesh, write_mesh
from irno_graph.refine import Scaling

SAMPLES = 5
SMALL = Architecture(processor_steps=1, node_hidden=8, edge_hidden=8)
UNITS = {"input_mean": 0.1, "input_std": 2.0, "mean": 0.3, "std": 1.5, "error": 0.5}


@pytest.fixture
def mesh():
    return periodic_box(48, seed=0)


@pytest.fixture
def model():
    torch.manual_seed(0)
    corrector = ig.correctors.MessagePassing(2, 2, hidden=8, layers=2)
    for own in corrector.parameters():
        nn.init.normal_(own, std=0.2)
    scaling = Scaling(**{name: torch.full((2,), value) for name, value in UNITS.items()})
    base = ig.bases.RIGNO(2, 2, architecture=SMALL)
    return ig.IRNO(base, corrector, scaling=scaling).eval()


@pytest.fixture
def arrays(mesh):
    draw = np.random.default_rng(0)
    names = ("x", "h", "truth")
    return {name: draw.normal(size=(SAMPLES, 48, 2)).astype(np.float32) for name in names}


def stored(path, arrays):
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values
    return path


def written(path):
    if path.suffix == ".npz":
        with np.load(path) as file:
            return dict(file)
    with h5py.File(path, "r") as file:
        return {name: np.asarray(values) for name, values in file.items()}


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".nc"])
@pytest.mark.parametrize("batch", [2, 8])
def test_each_sample_is_refined_from_its_answer(tmp_path, mesh, model, arrays, suffix, batch):
    done = []
    found = refine_file(
        model,
        mesh,
        stored(tmp_path / f"in{suffix}", arrays),
        tmp_path / f"out{suffix}",
        steps=3,
        batch=batch,
        progress=lambda *numbers: done.append(numbers),
    )
    graph = ig.Graph.from_mesh(mesh)
    x, h, truth = (torch.from_numpy(arrays[name]) for name in ("x", "h", "truth"))
    value = h
    for _ in range(3):
        value = value + model.alpha * model.phi(x, value, graph)
    out = written(tmp_path / f"out{suffix}")
    np.testing.assert_allclose(out["value"], value.detach(), rtol=1e-5, atol=1e-5)
    assert out["steps_taken"].tolist() == [3] * SAMPLES
    assert not out["status"].any()
    assert done[-1] == (SAMPLES, SAMPLES)
    assert len(done) == -(-SAMPLES // batch)
    for name, field in (("given", h), ("refined", value.detach())):
        expected = 100 * ig.metrics.relative_l2(field.double(), truth.double(), graph).mean(dim=0)
        np.testing.assert_allclose(found.errors[name], expected, rtol=1e-5)


def test_one_sample_goes_through_mesh_files(tmp_path, mesh, model, arrays):
    one = {name: values[0] for name, values in arrays.items() if name != "truth"}
    write_mesh(tmp_path / "in.vtu", mesh, one)
    found = refine_file(model, mesh, tmp_path / "in.vtu", tmp_path / "out.vtu")
    assert not found.errors
    refine_file(model, mesh, stored(tmp_path / "in.npz", one), tmp_path / "out.npz")
    value = written(tmp_path / "out.npz")["value"]
    assert value.shape == (48, 2)
    out = read_mesh(tmp_path / "out.vtu").point_data
    np.testing.assert_allclose(out["value"], value, atol=1e-6)
    np.testing.assert_allclose(out["correction"], value - one["h"], atol=1e-6)


def test_times_reach_the_corrector(tmp_path, mesh, arrays):
    class Timed(nn.Module):
        def forward(self, x, h, graph, *, time=None, lead_time=None):
            return torch.as_tensor(time).reshape(-1, 1, 1) * torch.ones_like(h) * lead_time

    model = ig.IRNO(ig.bases.RIGNO(2, 2, architecture=SMALL), Timed(), alpha=1.0, steps=1)
    timed = {**arrays, "time": np.arange(1.0, SAMPLES + 1), "lead_time": np.float64(0.5)}
    refine_file(model, mesh, stored(tmp_path / "in.npz", timed), tmp_path / "out.npz", batch=2)
    change = written(tmp_path / "out.npz")["value"] - arrays["h"]
    np.testing.assert_allclose(
        change, np.broadcast_to(0.5 * timed["time"][:, None, None], change.shape), atol=1e-5
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: {"h": arrays["h"]}, "add x"),
        (lambda arrays: {**arrays, "h": arrays["h"][:, :40]}, "nodes=48"),
        (lambda arrays: {**arrays, "x": arrays["x"][:3]}, "alike"),
        (lambda arrays: {**arrays, "truth": arrays["truth"][..., :1]}, "truth"),
        (lambda arrays: {**arrays, "h": arrays["h"][..., :1]}, "2 channels"),
        (lambda arrays: {**arrays, "h": np.full_like(arrays["h"], np.nan)}, "finite"),
        (lambda arrays: {**arrays, "h": np.full(arrays["h"].shape, b"a")}, "numbers"),
        (lambda arrays: {**arrays, "h": arrays["h"][:0], "x": arrays["x"][:0]}, "nodes=48"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_written(tmp_path, mesh, model, arrays, change, message):
    if message != "truth":
        arrays.pop("truth")
    given = change(arrays)
    for out in ("out.npz", "out.h5"):
        with pytest.raises(ValueError, match=message):
            refine_file(model, mesh, stored(tmp_path / "in.npz", given), tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["in.npz"]


def test_files_of_another_kind_are_refused(tmp_path, mesh, model, arrays):
    good = stored(tmp_path / "in.npz", arrays)
    with pytest.raises(ValueError, match="for one sample"):
        refine_file(model, mesh, good, tmp_path / "out.vtu")
    with pytest.raises(ValueError, match="should end in"):
        refine_file(model, mesh, good, tmp_path / "out.csv")
    for name, message in (("bad.npz", "should hold arrays"), ("bad.h5", "sound HDF5")):
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(ValueError, match=message):
            refine_file(model, mesh, tmp_path / name, tmp_path / "out.npz")
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file.create_group("x")
        file["h"] = arrays["h"]
    with pytest.raises(ValueError, match="should hold the array /x"):
        refine_file(model, mesh, tmp_path / "group.h5", tmp_path / "out.npz")
    np.savez(tmp_path / "pickled.npz", x=np.array([{}], dtype=object), h=arrays["h"])
    with pytest.raises(ValueError, match="should hold arrays"):
        refine_file(model, mesh, tmp_path / "pickled.npz", tmp_path / "out.npz")


def test_the_command_refines(tmp_path, mesh, model, arrays, capsys):
    write_mesh(tmp_path / "mesh.vtu", mesh)
    ig.save(model, tmp_path / "model.safetensors")
    stored(tmp_path / "in.npz", arrays)
    common = ["refine", str(tmp_path / "mesh.vtu"), str(tmp_path / "in.npz"), "--model"]
    code = run(
        [*common, str(tmp_path / "model.safetensors"), "--out", str(tmp_path / "out.h5"), "--steps", "2"]
    )
    said = capsys.readouterr().out
    assert code == 0
    assert "5 of 5 samples: all steps were taken" in said
    assert "error, refined" in said
    assert written(tmp_path / "out.h5")["steps_taken"].tolist() == [2] * SAMPLES
    halves = ["--out", str(tmp_path / "parts.h5"), "--steps", "2", "--parts", "3"]
    assert run([*common, str(tmp_path / "model.safetensors"), *halves]) == 0
    np.testing.assert_allclose(
        written(tmp_path / "parts.h5")["value"], written(tmp_path / "out.h5")["value"], atol=1e-6
    )
    assert run([*common, str(tmp_path / "model.safetensors"), *halves[:-1], "49"]) == 2
    assert "`parts` should be in 1..48" in capsys.readouterr().err
    assert run([*common, "no-such-model", "--out", str(tmp_path / "out.h5")]) == 2
