"""`TrajectoryFile` on domains that it is not for: refused with the name of what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from flow_sources import MESH, flows, write_flows_nc

from irno_graph.data import TrajectoryFile
from irno_graph.data.readers import MeshTrajectories, RignoSamples, open_data
from irno_graph.data.writers import write_rigno

FLOWS = flows(MESH.points)
READS = r"open_data"


def mesh_file(path: Path, **changed: Any) -> Path:
    settings: dict[str, Any] = {"points": MESH.points, "cells": MESH.cells, "period": MESH.period} | changed
    return write_rigno(path, FLOWS, times=np.arange(4.0), channels=("rho", "vx", "vy", "p", "E"), **settings)


@pytest.mark.parametrize(
    "changed",
    [
        {"period": None, "cells": [("triangle", MESH.cells_of("triangle")[:300])]},
        {"cells": [("quad", np.arange(300).reshape(-1, 4))]},
        {"points": np.pad(MESH.points, ((0, 0), (0, 1))), "period": None},
    ],
)
def test_other_domains_are_refused_and_open_data_reads_them(tmp_path: Path, changed: dict[str, Any]) -> None:
    path = mesh_file(tmp_path / "a.nc", **changed)
    with pytest.raises(
        ValueError, match=rf"its `domain` is 'mesh': read it by .*{READS}`, as `MeshTrajectories`"
    ):
        TrajectoryFile(path, period=(1.0, 1.0))
    source = open_data(path)
    assert isinstance(source, MeshTrajectories)
    np.testing.assert_array_equal(source.read(), FLOWS.astype(np.float32))


def test_the_domain_is_known_as_bytes_too(tmp_path: Path) -> None:
    path = mesh_file(tmp_path / "a.nc")
    assert torch.equal(TrajectoryFile(path).read(), torch.from_numpy(FLOWS[..., :4]).float())
    with h5py.File(path, "a") as file:
        file.attrs["domain"] = np.bytes_(b"sphere")
    with pytest.raises(ValueError, match="its `domain` is 'sphere'"):
        TrajectoryFile(path)


def test_a_box_without_period_is_refused_unless_one_is_passed(tmp_path: Path) -> None:
    path = write_flows_nc(tmp_path / "a.nc", FLOWS)
    with h5py.File(path, "a") as file:
        file.attrs["period"] = [1.0, 0.0]
    with pytest.raises(ValueError, match=rf"periodic in both axes, got period \[1.0, 0.0\]: pass .*{READS}`"):
        TrajectoryFile(path)
    assert TrajectoryFile(path, period=(1.0, 1.0)).period == (1.0, 1.0)


def test_points_that_change_are_refused_and_open_data_reads_them(tmp_path: Path) -> None:
    path = mesh_file(tmp_path / "a.nc")
    with h5py.File(path, "a") as file:
        del file["x"]
        file["x"] = np.stack([MESH.points, MESH.points])[:, None]
    with pytest.raises(
        ValueError, match=rf"got \[2, 4, 300, 5\] and \[2, 1, 300, 2\]: where points change, .*{READS}`"
    ):
        TrajectoryFile(path)
    assert isinstance(open_data(path), RignoSamples)
