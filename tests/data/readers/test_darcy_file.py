"""neuraloperator's Darcy files: the real ones, and made-up ones whose boundary is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from irno_graph.data.readers.darcy import DarcyFile

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "neuraloperator"
real = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no Darcy files at {REFERENCE}")


def write_darcy(path: Path, x: np.ndarray, y: np.ndarray) -> Path:
    """Pressure sin(pi x) sin(2 pi y + c) that vanishes on the square's boundary; permeability x + 10 y + 100 n."""
    n = np.arange(4)[:, None, None]
    row, column = y[None, :, None], x[None, None, :]
    pressure = np.sin(np.pi * column) * np.sin(np.pi * row) * (1 + 0.3 * column + 0.1 * n)
    torch.save(
        {"x": torch.from_numpy(column + 10 * row + 100 * n), "y": torch.from_numpy(pressure).float()}, path
    )
    return path


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 1), (0.5, 0.5), (1, 1), (1, 0)])
@pytest.mark.parametrize("count", [16, 61])
def test_points_are_found_from_where_the_pressure_vanishes(
    tmp_path: Path, low: float, high: float, count: int
) -> None:
    x = (low + np.arange(count)) / (count - 1 + low + high)
    y = np.arange(count + 9) / (count + 8)
    data = DarcyFile(write_darcy(tmp_path / "a.pt", x, y), unpickle=True)
    assert data.offsets == (low, high, 0, 0)
    px, py = data.graph().pos.T
    permeability, pressure = data.pairs(slice(1, 4, 2))
    for row, n in enumerate((1, 3)):
        torch.testing.assert_close(
            permeability[row, :, 0].double(), px + 10 * py + 100 * n, rtol=0, atol=1e-4
        )
        exact = torch.sin(torch.pi * px) * torch.sin(torch.pi * py) * (1 + 0.3 * px + 0.1 * n)
        torch.testing.assert_close(pressure[row, :, 0].double(), exact, rtol=0, atol=1e-6)


def test_cell_centres_fill_the_square(tmp_path: Path) -> None:
    x, y = (np.arange(20) + 0.5) / 20, (np.arange(30) + 0.5) / 30
    graph = DarcyFile(write_darcy(tmp_path / "a.pt", x, y), unpickle=True).graph()
    assert float(graph.mass.sum()) == pytest.approx(1.0)


@real
@pytest.mark.parametrize("name", ["darcy_train_16", "darcy_test_16", "darcy_test_32"])
def test_the_real_files_begin_on_the_boundary_and_end_one_step_inside(name: str) -> None:
    data = DarcyFile(REFERENCE / f"{name}.pt", unpickle=True)
    assert data.offsets == (0, 1, 0, 1)
    stored = torch.load(REFERENCE / f"{name}.pt", weights_only=True)
    assert len(data) == len(stored["x"])
    values = data.read()
    assert torch.equal(values[:, 0, :, 0], stored["x"].flatten(1).float())
    assert torch.equal(values[:, 0, :, 1], stored["y"].flatten(1))
    assert torch.equal(data.read(slice(3, 17, 4)), values[3:17:4])


@real
def test_the_real_coarse_points_are_every_other_fine_point() -> None:
    """The same 50 problems in two resolutions: positions found from each agree where the fields are equal."""
    coarse, fine = (DarcyFile(REFERENCE / f"darcy_test_{n}.pt", unpickle=True) for n in (16, 32))
    every = torch.arange(32 * 32).view(32, 32)[::2, ::2].flatten()
    assert torch.equal(coarse.read(), fine.read()[:, :, every])
    torch.testing.assert_close(coarse.graph().pos, fine.graph().pos[every], rtol=0, atol=1e-14)


def test_a_pickle_needs_a_flag_and_runs_no_code(tmp_path: Path) -> None:
    path = write_darcy(tmp_path / "a.pt", np.linspace(0, 1, 8), np.linspace(0, 1, 9))
    with pytest.raises(ValueError, match="pass `unpickle=True`"):
        DarcyFile(path)
    torch.save({"x": torch.ones(2, 8, 8), "y": Path("a")}, tmp_path / "b.pt")
    with pytest.raises(ValueError, match=r"b.pt. should be a sound .pt archive"):
        DarcyFile(tmp_path / "b.pt", unpickle=True)
    torch.save({"x": torch.ones(2, 8, 8), "y": torch.ones(2, 8, 9)}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"one shape, got \[2, 8, 8\] and \[2, 8, 9\]"):
        DarcyFile(tmp_path / "c.pt", unpickle=True)
    torch.save({"x": torch.ones(2, 8), "y": torch.ones(2, 8)}, tmp_path / "d.pt")
    with pytest.raises(ValueError, match=r"\[n, rows, columns\], at least 3 x 3, got \[2, 8\]"):
        DarcyFile(tmp_path / "d.pt", unpickle=True)


def test_a_changed_number_is_seen_by_its_checksum_and_a_nan_by_its_index(tmp_path: Path) -> None:
    path = write_darcy(tmp_path / "a.pt", np.linspace(0, 1, 8), np.linspace(0, 1, 9))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="wrong checksum of"):
        DarcyFile(path, unpickle=True)
    y = torch.ones(300, 8, 8)
    y[270, 3, 3] = torch.nan
    torch.save({"x": torch.ones(300, 8, 8), "y": y}, tmp_path / "b.pt")
    data = DarcyFile(tmp_path / "b.pt", unpickle=True)
    assert torch.isfinite(data.read(slice(271, None))).all()
    with pytest.raises(ValueError, match=r"sample 270 of .*b.pt. has values that are NaN"):
        data.read()
