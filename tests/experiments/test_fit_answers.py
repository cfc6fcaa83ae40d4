"""From files of answers to refined files of answers, on the command line."""

import h5py
import numpy as np
import pytest

import irno_graph as ig
from irno_graph.cli import run
from irno_graph.experiments.fit_answers import read_answers
from irno_graph.mesh import periodic_box, write_mesh
from irno_graph.refine.storage import describe

NODES = 60
SMALL = {"hidden": 8, "levels": 1, "steps": 2, "optimizer-steps": 40, "batch": 4, "learning-rate": 1e-2}
OPTIONS = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]


@pytest.fixture(autouse=True)
def _quiet():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def mesh(tmp_path):
    mesh = periodic_box(NODES, seed=0)
    write_mesh(tmp_path / "mesh.vtu", mesh)
    return mesh


def store(path, mesh, samples, seed, **more):
    """An operator that damps waves and is off by a constant."""
    phase = 2 * np.pi * np.random.default_rng(seed).uniform(size=(samples, 1))
    x = np.sin(2 * np.pi * mesh.points[:, 0] + phase)[..., None]
    with h5py.File(path, "w") as file:
        file["x"], file["h"], file["truth"] = np.concatenate([x, x**2], axis=-1), 0.7 * x + 0.1, x
        for name, value in more.items():
            if value is None:
                del file[name]
            else:
                file[name] = value
    return path


def test_a_trained_corrector_refines_other_answers(tmp_path, mesh, capsys):
    store(tmp_path / "train.h5", mesh, 20, 0)
    store(tmp_path / "test.h5", mesh, 6, 1)
    files = [str(tmp_path / name) for name in ("mesh.vtu", "train.h5", "model.safetensors")]
    assert run(["fit", *files[:2], "--out", files[2], *OPTIONS]) == 0
    said = capsys.readouterr().out
    assert "the last 4 of 20 samples" in said
    assert "k = 0: 100.0 %" in said
    about = describe(files[2])["about"]
    assert about["left on validation"][0] == 1
    assert about["training"]["optimizer_steps"] == 40
    out = tmp_path / "refined.h5"
    assert run(["refine", files[0], str(tmp_path / "test.h5"), "--model", files[2], "--out", str(out)]) == 0
    with h5py.File(out) as refined, h5py.File(tmp_path / "test.h5") as given:
        wrong = [
            np.abs(field - given["truth"][()]).mean() for field in (given["h"][()], refined["value"][()])
        ]
    assert wrong[1] < 0.8 * wrong[0]
    model = ig.load(files[2], base=lambda x, graph: 0.7 * x[..., :1] + 0.1)
    part = read_answers(tmp_path / "test.h5", ig.Graph.from_mesh(mesh))
    with h5py.File(out) as refined:
        np.testing.assert_allclose(model(part.x, part.graph).value.detach(), refined["value"][()], atol=1e-5)


def test_validation_samples_of_their_own_and_times(tmp_path, mesh, capsys):
    store(tmp_path / "train.h5", mesh, 5, 0, time=np.arange(5.0), lead_time=0.5)
    store(tmp_path / "valid.h5", mesh, 3, 1, time=0.25)
    part = read_answers(tmp_path / "train.h5", ig.Graph.from_mesh(mesh))
    assert part.times["time"].tolist() == [0, 1, 2, 3, 4]
    assert part.times["lead_time"].tolist() == [0.5] * 5
    files = [str(tmp_path / name) for name in ("mesh.vtu", "train.h5", "model.safetensors")]
    sizes = ["--hidden", "4", "--levels", "1", "--optimizer-steps", "2", "--batch", "2"]
    more = ["--accumulate", "2", "--ema", "0.5", "--patience", "3", "--precision", "bf16"]
    options = ["--valid", str(tmp_path / "valid.h5"), *sizes, *more]
    assert run(["fit", *files[:2], "--out", files[2], *options]) == 0
    assert "are kept" not in capsys.readouterr().out
    assert (tmp_path / "model" / "last.ckpt").is_file()
    known = describe(files[2])["about"]["training"]["options"]
    wanted = {"accumulate": 2, "ema": 0.5, "patience": 3, "precision": "bf16", "keep_best": True}
    assert {name: known[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("more", "options", "message"),
    [
        ({"truth": None}, (), "truth"),
        ({}, ("--alpha", "2"), "alpha"),
        ({}, ("--spectral-loss", "fft"), "grid"),
        ({}, ("--ema", "1"), "ema"),
        ({}, ("--device", "tpu"), "tpu"),
        ({}, ("--out", "model.pt"), ".safetensors"),
        ({"time": np.zeros(3)}, (), "time"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(tmp_path, mesh, capsys, more, options, message):
    store(tmp_path / "train.h5", mesh, 5, 0, **more)
    files = [str(tmp_path / name) for name in ("mesh.vtu", "train.h5", "model.safetensors")]
    assert run(["fit", *files[:2], "--out", files[2], *OPTIONS, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "model.safetensors").exists()


def test_one_sample_is_not_enough(tmp_path, mesh, capsys):
    store(tmp_path / "one.h5", mesh, 1, 0)
    files = [str(tmp_path / name) for name in ("mesh.vtu", "one.h5", "model.safetensors")]
    assert run(["fit", *files[:2], "--out", files[2]]) == 2
    assert "at least 2 samples" in capsys.readouterr().err
