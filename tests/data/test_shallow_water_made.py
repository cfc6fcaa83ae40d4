"""Files of shallow-water flows: interruption, threads, what is refused, the example of the docs."""

import math
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from sphere_flows import SMALL, needs_harmonics

from irno_graph.data.readers import SphereTrajectories
from irno_graph.data.sphere import ShallowWater, generate, shallow_water
from irno_graph.data.sphere import solver as time_stepping
from irno_graph.data.sphere.solver import fields, solver_of, states


def in_file(path):
    with h5py.File(path, "r") as file:
        return {name: file[name][...] for name in file}


def small_file(path, trajectories=3, flow=SMALL, seed=5):
    return generate(
        path,
        trajectories=trajectories,
        nlat=12,
        nlon=24,
        coarse=(6, 12),
        save_every=2,
        final_time=6,
        flow=flow,
        seed=seed,
    )


@needs_harmonics
def test_a_trajectory_is_the_same_alone_among_others_and_on_more_threads(tmp_path):
    flow = ShallowWater(degrees=6, solver_nlat=16, time_step=1200, spin_up=4)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    source = SphereTrajectories(small_file(tmp_path / "three.nc", flow=flow))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    late = list(states(SMALL, [0.0, 4.0, 6.0, 8.0, 10.0], seed=5, trajectory=2))[1:]
    alone = torch.stack([fields(state, 12, 24, "legendre-gauss", gravity=9.80616) for state in late]).float()
    torch.testing.assert_close(source.read(2)[0], alone.flatten(1, 2), rtol=1e-6, atol=1e-10)
    one = in_file(small_file(tmp_path / "one.nc", trajectories=1, flow=flow))
    three = in_file(tmp_path / "three.nc")
    assert all(np.array_equal(one[name][0], three[name][0]) for name in one)
    assert not np.allclose(three["height"][0], three["height"][1])
    coarse = torch.stack([fields(state, 6, 12, "legendre-gauss", gravity=9.80616) for state in late]).float()
    torch.testing.assert_close(source.coarse(2)[0], coarse.flatten(1, 2), rtol=1e-6, atol=1e-10)


@needs_harmonics
def test_a_killed_run_goes_on_to_the_same_values(tmp_path, monkeypatch):
    undisturbed = in_file(small_file(tmp_path / "whole.nc"))
    path = tmp_path / "killed.nc"
    child = os.fork()
    if child == 0:  # dies within the writing of trajectory 1
        signal.alarm(60)
        save = np.savez

        def killing(target, **parts):
            save(target, **parts)
            if (path.with_name("killed.nc.parts") / "0.npz").exists():
                target.write_bytes(target.read_bytes()[:1000])
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(np, "savez", killing)
        small_file(path)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    parts = tmp_path / "killed.nc.parts"
    assert not path.exists()
    assert (parts / "0.npz").exists()
    assert not (parts / "1.npz").exists()
    with pytest.raises(ValueError, match="differs in seed: repeat that call"):
        small_file(path, seed=6)
    (parts / "2.npz").write_bytes((parts / "0.npz").read_bytes()[:1000])
    solved = []
    original = shallow_water._solve

    def counting(*call):
        solved.append(call[-1])
        return original(*call)

    monkeypatch.setattr(shallow_water, "_solve", counting)
    resumed = in_file(small_file(path))
    assert solved == [1, 2]
    assert all(np.array_equal(resumed[name], undisturbed[name]) for name in undisturbed)
    assert not parts.exists()
    assert sorted(os.listdir(tmp_path)) == ["killed.nc", "whole.nc"]


@needs_harmonics
def test_a_flow_that_blows_up_is_named_and_not_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(time_stepping, "step", lambda solver, state, time_step: state * 1e200)
    with pytest.raises(FloatingPointError, match="trajectory 0 of seed 5 is not finite at hour 2: shorten"):
        small_file(tmp_path / "a.nc")
    assert not list(tmp_path.glob("*.nc"))
    assert not list(tmp_path.glob("*.parts/*.npz"))


def test_the_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_harmonics", None)
    solver_of.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'irno-graph\[sphere\]'"):
        small_file(tmp_path / "a.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": "rest"}, "`initial` should be one of random, galewsky, got 'rest'"),
        ({"published": True}, "initial='galewsky'"),
        ({"solver_nlat": 8}, "`solver_nlat` should be at least 16, got 8"),
        ({"wind": 0.0}, "`wind` should be positive"),
        ({"wind": math.nan}, "`wind` should be positive"),
        ({"degrees": 43}, r"`degrees` should be in 1\.\.42"),
        ({"spin_up": -1.0}, "`spin_up` should not be negative"),
        ({"time_step": 1200.0}, "`time_step` should be positive and at most 897 s"),
        ({"time_step": 0.0}, "`time_step` should be positive"),
    ],
)
def test_bad_flows_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ShallowWater(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trajectories": 0}, "`trajectories` should be at least 1, got 0"),
        ({"seed": -1}, "`seed` should not be negative"),
        ({"nlat": 2}, "`nlat` should be at least 3, got 2"),
        ({"nlon": 3}, "`nlon` should be at least 4, got 3"),
        ({"grid": "healpix"}, "`grid` should be one of"),
        ({"nlat": 65}, "should not be finer than the solver's of 64 x 128"),
        ({"nlon": 129}, "should not be finer than the solver's of 64 x 128"),
        ({"coarse": (33, 64)}, "`coarse` should be coarser than the file's grid of 32 x 64, got 33 x 64"),
        ({"coarse": (32, 64)}, "`coarse` should be coarser"),
        ({"coarse": (16, 65)}, "`coarse` should be coarser"),
        ({"coarse": (2, 8)}, "`nlat` should be at least 3, got 2"),
        ({"final_time": 70.0}, "`final_time` should be a multiple of `save_every` = 6"),
        ({"save_every": 0.0}, "should be positive"),
        (
            {"save_every": 0.1, "final_time": 1.0},
            "`save_every` should be a multiple of the time step of 600 s",
        ),
        ({"flow": ShallowWater(spin_up=0.25)}, "`spin_up` should be a multiple of the time step"),
    ],
)
def test_bad_calls_are_refused_before_anything_is_written(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "a.nc", **({"trajectories": 1} | options))
    assert not list(tmp_path.iterdir())


@needs_harmonics
def test_the_example_of_the_docs_gives_pairs_of_one_state(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "grids.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```py\n(.*?)```", text, flags=re.S)
    monkeypatch.chdir(tmp_path)
    example = example.replace("trajectories=8", "trajectories=1").replace("final_time=144", "final_time=6")
    names: dict[str, Any] = {}
    exec(example, names)
    assert names["x"].shape == (1, 2, 128, 3)
    assert names["y"].shape == (1, 2, 2048, 3)
    for graph, field in ((names["coarse"], names["x"]), (names["fine"], names["y"])):
        north = (graph.mass * graph.pos[:, 2]) @ field[0, :, :, 0].double().T  # degree 1, on both
        names.setdefault("moments", []).append(north)
    torch.testing.assert_close(*names["moments"], rtol=1e-5, atol=0)
