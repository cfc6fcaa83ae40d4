"""Poseidon's files, in both orders of axes: the flow tells which it is; chunks, channels, damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import torch

from irno_graph.data.euler.initial import draw_vortices, initial_state
from irno_graph.data.readers.flow_axes import relative_divergence
from irno_graph.data.readers.poseidon import PoseidonData


def states(seeds: list[int], cells: int = 48) -> np.ndarray:
    """CE-Gauss at t = 0, three times over as three snapshots: [n, 3, 5, x, y]."""
    rho, vx, vy, p = np.stack([initial_state(draw_vortices(seed), cells) for seed in seeds], axis=1)
    energy = p / 0.4 + 0.5 * rho * (vx**2 + vy**2)
    fields = np.stack([rho, vx, vy, p, energy], axis=1)
    return np.stack([fields, fields, fields], axis=1).astype(np.float32)


def write_poseidon(path: Path, data: np.ndarray, *, variable: str = "data", **options: Any) -> Path:
    """With the netCDF4 library, one chunk per record."""
    with netCDF4.Dataset(path, "w") as file:
        names = [file.createDimension(f"d{axis}", size).name for axis, size in enumerate(data.shape)]
        stored = file.createVariable(
            variable, "f4", names, chunksizes=(1, *data.shape[1:]), fill_value=False, **options
        )
        stored[:] = data
    return path


def swirl(nx: int, ny: int, t: float = 0.0) -> np.ndarray:
    """psi = sin(2 pi x) cos(4 pi y) + sin(2 pi (x + y)) / 2, v = (psi_y, -psi_x): [5, nx, ny]."""
    x, y = np.meshgrid((np.arange(nx) + 0.5) / nx, (np.arange(ny) + 0.5) / ny, indexing="ij")
    both = np.pi * np.cos(2 * np.pi * (x + y))
    vx = -4 * np.pi * np.sin(2 * np.pi * x) * np.sin(4 * np.pi * y) + both
    vy = -2 * np.pi * np.cos(2 * np.pi * x) * np.cos(4 * np.pi * y) - both
    rho, p = 1 + x + 10 * y + t, 2.0 + x
    return np.stack([rho, vx, vy, p, p / 0.4 + 0.5 * rho * (vx**2 + vy**2)])


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_the_axes_of_generated_ce_gauss_are_found_in_both_orders(tmp_path: Path, order: str) -> None:
    stored = states([3, 4])
    path = write_poseidon(tmp_path / "CE-Gauss.nc", stored if order == "xy" else stored.swapaxes(3, 4))
    data = PoseidonData(path)
    assert data.axes == order
    assert data.divergence[order] < 0.25 * data.divergence["yx" if order == "xy" else "xy"]
    assert f"axes are ({order[0]}, {order[1]}): at t = 0" in data.decisions[0]
    values = data.read()  # [2, 3, nodes, 5]
    expected = stored.transpose(0, 1, 4, 3, 2).reshape(2, 3, -1, 5)  # iy * nx + ix
    np.testing.assert_array_equal(values.numpy(), expected)
    assert "vorticity goes on across the seam" in " ".join(data.decisions)
    assert data.energy_misfit is not None
    assert data.energy_misfit < 1e-6


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_fields_lie_at_the_cell_centres_of_the_graph(tmp_path: Path, order: str) -> None:
    nx, ny = 24, 32
    arrays = np.stack([np.stack([swirl(nx, ny, t + 5 * n) for t in (0.0, 1.0, 2.0)]) for n in range(2)])
    path = write_poseidon(tmp_path / "a.nc", arrays if order == "xy" else arrays.swapaxes(3, 4))
    data = PoseidonData(path, axes="auto")
    assert data.axes == order
    graph = data.graph()
    x, y = graph.pos.T
    assert float(x.min()) == pytest.approx(0.5 / nx)
    assert float(y.max()) == pytest.approx(1 - 0.5 / ny)
    assert graph.period == (1.0, 1.0)
    rho = data.read(1, slice(2, 3))[0, 0, :, 0].double()
    torch.testing.assert_close(rho, 1 + x + 10 * y + 7, rtol=0, atol=1e-5)
    np.testing.assert_allclose(data.times, [0, 0.05, 0.1])
    given = PoseidonData(path, axes=order).read(0)
    assert torch.equal(given, data.read(0))
    # the other order puts fields where they do not belong
    other = PoseidonData(path, axes="yx" if order == "xy" else "xy")
    x, y = other.graph().pos.T
    assert float((other.read(0)[0, 0, :, 0] - (1 + x + 10 * y)).abs().max()) > 1


def test_divergence_of_a_known_flow() -> None:
    """Of (sin 2 pi x, 0) all of the gradient is divergence, of (sin 2 pi y, 0) nothing."""
    x = np.sin(2 * np.pi * np.arange(20) / 20)[:, None] * np.ones(30)
    assert relative_divergence(x, 0 * x) == pytest.approx(1.0)
    assert relative_divergence(x.T, 0 * x.T) == pytest.approx(0.0)
    coarse, fine = (relative_divergence(*swirl(n, n)[1:3]) for n in (32, 64))
    assert 3.5 < coarse / fine < 4.5  # second order


def test_a_flow_that_does_not_tell_is_taken_as_published(tmp_path: Path) -> None:
    arrays = np.ones((1, 2, 5, 8, 8)) + np.random.default_rng(0).normal(size=(1, 2, 5, 8, 8))
    data = PoseidonData(write_poseidon(tmp_path / "a.nc", arrays))
    assert data.axes == "xy"
    assert "does not tell" in data.decisions[0]
    assert "check gamma" in data.decisions[-1]


def test_exchanged_pressure_and_energy_get_their_names(tmp_path: Path) -> None:
    stored = states([5])
    data = PoseidonData(write_poseidon(tmp_path / "a.nc", stored[:, :, [0, 1, 2, 4, 3]]))
    assert data.channels == ("rho", "vx", "vy", "E", "p")
    plain = PoseidonData(write_poseidon(tmp_path / "b.nc", stored))
    assert plain.channels == ("rho", "vx", "vy", "p", "E")
    assert torch.equal(data.read(0)[..., 4], plain.read(0)[..., 3])


def test_vortices_that_end_at_the_box_jump_across_the_seam(tmp_path: Path) -> None:
    """One Gaussian at a wall of the box, not continued on the other side."""
    n = 64
    x, y = np.meshgrid((np.arange(n) + 0.5) / n, (np.arange(n) + 0.5) / n, indexing="ij")
    psi = np.exp(-((x - 0.97) ** 2 + (y - 0.4) ** 2) / (2 * 0.08**2))
    vx, vy = -(y - 0.4) / 0.08**2 * psi, (x - 0.97) / 0.08**2 * psi
    state = np.stack([1 + 0 * x, vx, vy, 1 + 0 * x, 2.5 + 0.5 * (vx**2 + vy**2)])
    data = PoseidonData(write_poseidon(tmp_path / "a.nc", state[None, None]))
    assert "vorticity jumps across the seam" in " ".join(data.decisions)


def test_chunks_are_joined_by_number(tmp_path: Path) -> None:
    for number in (0, 2, 10):
        write_poseidon(
            tmp_path / f"data_{number}.nc", np.stack([swirl(12, 16, number)[None] for _ in range(2)])
        )
    with pytest.raises(ValueError, match=r"none with the numbers \[1, 3, 4, 5, 6, 7, 8, 9\]"):
        PoseidonData(tmp_path)
    (tmp_path / "data_10.nc").rename(tmp_path / "data_3.nc")
    (tmp_path / "data_0.nc").rename(tmp_path / "data_1.nc")
    data = PoseidonData(tmp_path)
    rho = data.read()[:, 0, 0, 0]
    assert (rho - rho[0]).tolist() == pytest.approx([0, 0, 2, 2, 10, 10], abs=1e-4)
    assert torch.equal(data.read(slice(1, 6, 2)), data.read()[1:6:2])
    write_poseidon(tmp_path / "data_4.nc", swirl(16, 12)[None, None])
    with pytest.raises(ValueError, match=r"data_4.nc. should have the shape of"):
        PoseidonData(tmp_path)


def test_velocities_without_the_rest(tmp_path: Path) -> None:
    path = write_poseidon(tmp_path / "NS.nc", swirl(12, 16)[None, None, 1:3], variable="velocity")
    data = PoseidonData(path)
    assert data.channels == ("vx", "vy")
    assert data.axes == "xy"


def test_damage_is_named_and_leaves_the_rest_readable(tmp_path: Path) -> None:
    path = write_poseidon(tmp_path / "a.nc", states([1, 2, 3], 16), fletcher32=True)
    first = PoseidonData(path).read(0)
    with h5py.File(path) as file:
        where = file["data"].id.get_chunk_info(1).byte_offset
    content = bytearray(path.read_bytes())
    content[where + 500] ^= 0x40
    path.write_bytes(content)
    data = PoseidonData(path)
    assert torch.equal(data.read(0), first)
    assert torch.isfinite(data.read(2)).all()
    with pytest.raises(ValueError, match=r"record 1 of .*a.nc. cannot be read"):
        data.read()
    spoiled = states([1, 2], 16)
    spoiled[1, 1, 2, 3, 4] = np.inf
    with pytest.raises(ValueError, match=r"record 1 of .*b.nc. has values that are NaN"):
        PoseidonData(write_poseidon(tmp_path / "b.nc", spoiled)).read()
    with pytest.raises(
        ValueError, match=r"should hold data \[n, times, 5, cells, cells\], got \[1, 1, 4, 16, 16\]"
    ):
        PoseidonData(write_poseidon(tmp_path / "c.nc", np.ones((1, 1, 4, 16, 16))))


def test_a_record_that_was_never_written_is_not_read_as_fill_values(tmp_path: Path) -> None:
    """As in a file whose writer was stopped: HDF5 itself answers with zeros or 9.97e36."""
    arrays = states([1, 2, 3], 16)
    for name, fill in (("zeros.nc", 0.0), ("default.nc", 9.969209968386869e36)):
        with h5py.File(tmp_path / name, "w") as file:
            stored = file.create_dataset("data", arrays.shape, "f4", chunks=(1, 1, 5, 16, 16), fillvalue=fill)
            stored[:2] = arrays[:2]
            stored[2, 0] = arrays[2, 0]
        data = PoseidonData(tmp_path / name)
        assert torch.isfinite(data.read(2, slice(0, 1))).all()
        with pytest.raises(
            ValueError, match=r"record 2 of .*chunk at \[2, 1, 0, 0, 0\] of /data was never written"
        ):
            data.read()
        with pytest.raises(ValueError, match="record 2"):
            data.read(2, slice(2, 3))
