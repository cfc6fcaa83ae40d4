"""Ranks of torch.distributed that share the parts of a graph all have the result of the whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

import irno_graph as ig
from irno_graph.correctors import MessagePassing, Options
from irno_graph.experiments.answers import refine_file
from irno_graph.mesh import periodic_box

SCRIPT = Path(__file__).with_name("one_rank.py")
RANKS = 2
ENVIRONMENT = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.mark.slow
def test_two_ranks_have_the_values_and_gradients_of_the_whole(tmp_path):
    outs = [tmp_path / f"{rank}.json" for rank in range(RANKS)]
    started = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(RANKS), str(tmp_path / "store"), str(out)],
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        for rank, out in enumerate(outs)
    ]
    for process in started:
        try:
            _, said = process.communicate(timeout=900)
        except subprocess.TimeoutExpired:
            for other in started:
                other.kill()
            raise
        assert process.returncode == 0, said
    for out in outs:
        found = json.loads(out.read_text())
        assert "2 or more, one for each rank, got 1" in found.pop("too few")
        assert len(found) == 4
        for case, (*values, gradients) in found.items():
            assert max(values) < 1e-12, case
            assert gradients < 1e-10, case


@pytest.mark.slow
def test_the_command_line_refines_on_two_ranks_what_it_refines_on_one(tmp_path):
    torch.manual_seed(0)
    points = periodic_box(60, seed=3).points
    mesh = ig.Mesh(points, [("triangle", Delaunay(points).simplices)])
    ig.write_mesh(tmp_path / "mesh.vtu", mesh)
    x, h = torch.randn(2, 3, len(points), 2).numpy()
    np.savez(tmp_path / "answers.npz", x=x, h=h)
    corrector = MessagePassing(2, 2, hidden=4, layers=2, options=Options(small=1.0))
    model = ig.IRNO(lambda x, graph: x, corrector, alpha=0.3, steps=4)
    ig.save(model, tmp_path / "model.safetensors")
    alone, spread = tmp_path / "alone.npz", tmp_path / "spread.npz"
    refine_file(model, ig.read_mesh(tmp_path / "mesh.vtu"), tmp_path / "answers.npz", alone)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={RANKS}"]
    names = ("mesh.vtu", "answers.npz", "--model", "model.safetensors", "--out", "spread.npz", "--parts", "3")
    done = subprocess.run(
        [*launch, "-m", "irno_graph", "refine", *names],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Written:") == 1
    with np.load(alone) as expected, np.load(spread) as found:
        assert np.abs(expected["value"] - h).max() > 0.1
        np.testing.assert_allclose(found["value"], expected["value"], atol=1e-5)
        np.testing.assert_array_equal(found["steps_taken"], [4, 4, 4])
