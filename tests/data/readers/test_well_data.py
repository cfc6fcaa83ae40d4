"""The Well's layout, written here with plain h5py: order of axes, components, constants, statistics, damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml

from irno_graph.data.readers.well import WellData

NX, NY, TIMES, SAMPLES = 7, 5, 4, 3
X = 0.25 + 0.5 * np.arange(NX)
Y = -1.0 + 0.25 * np.arange(NY)


def write_well(
    path: Path,
    *,
    offset: float = 0.0,
    kinds: tuple[str, str] = ("PERIODIC", "WALL"),
    turned: bool = False,
    samples: int = SAMPLES,
    **options: Any,
) -> Path:
    """Fields x + 10 y + 100 t + 1000 s with s = offset + trajectory; `turned` stores y before x."""
    path.parent.mkdir(parents=True, exist_ok=True)
    s, t, x, y = np.meshgrid(offset + np.arange(samples), np.arange(TIMES), X, Y, indexing="ij")
    base = x + 10 * y + 100 * t + 1000 * s
    fields = {
        "t0_fields": {"density": base},
        "t1_fields": {"velocity": np.stack([base + 0.5, -base], axis=-1)},
        "t2_fields": {
            "D": np.stack([base, base + 1, base + 2, base + 3], axis=-1).reshape(*base.shape, 2, 2)
        },
    }
    with h5py.File(path, "w") as file:
        file.attrs.update(
            dataset_name="made_up", grid_type="cartesian", n_spatial_dims=2, n_trajectories=samples, Re=100.0
        )
        file.attrs["simulation_parameters"] = ["Re"]
        bounds = file.create_group("boundary_conditions")
        for name, kind, count in zip("xy", kinds, (NX, NY), strict=True):
            group = bounds.create_group(f"{name}_boundary")
            group.attrs["associated_dims"] = [name]
            group.attrs["associated_fields"] = np.array([], dtype="S1")
            group.attrs["bc_type"] = kind
            group.attrs["sample_varying"] = group.attrs["time_varying"] = False
            group["mask"] = np.arange(count) % (count - 1) == 0
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = ["x", "y"]
        for name, values in (("time", 0.1 * np.arange(TIMES)), ("x", X), ("y", Y)):
            dimensions[name] = values.astype(np.float32)
            dimensions[name].attrs["sample_varying"] = False
        file.create_group("scalars").attrs["field_names"] = ["Re"]
        file["scalars/Re"] = np.float32(100.0)
        for group_name, arrays in fields.items():
            group = file.create_group(group_name)
            group.attrs["field_names"] = list(arrays) + (
                ["height", "depth"] if group_name == "t0_fields" else []
            )
            for name, values in arrays.items():
                stored = np.swapaxes(values, 2, 3) if turned else values
                chunks = (1, *stored.shape[1:])
                group.create_dataset(name, data=stored.astype(np.float32), chunks=chunks, **options)
                group[name].attrs.update(sample_varying=True, time_varying=True, dim_varying=[True, True])
        height = np.add.outer(np.arange(samples), Y)  # varies with sample and y alone
        file["t0_fields"].create_dataset(
            "height", data=height.astype(np.float32), **options_of(options, height)
        )
        file["t0_fields/height"].attrs.update(
            sample_varying=True, time_varying=False, dim_varying=[False, True]
        )
        file["t0_fields"].create_dataset("depth", data=X.astype(np.float32), **options_of(options, X))
        file["t0_fields/depth"].attrs.update(
            sample_varying=False, time_varying=False, dim_varying=[True, False]
        )
    return path


def options_of(options: dict[str, Any], array: np.ndarray) -> dict[str, Any]:
    return {**options, "chunks": array.shape} if options else {}


def expected(data: WellData, sample: float, time: int) -> torch.Tensor:
    """x + 10 y + 100 t + 1000 s at the graph's own positions."""
    x, y = data.graph().pos.T
    return x + 10 * y + 100 * time + 1000 * sample


CHANNELS = ("density", "velocity_x", "velocity_y", "D_xx", "D_xy", "D_yx", "D_yy")


@pytest.mark.parametrize("turned", [False, True])
def test_fields_lie_at_the_positions_of_the_graph(tmp_path: Path, turned: bool) -> None:
    data = WellData(write_well(tmp_path / "a.hdf5", turned=turned))
    assert data.channels == CHANNELS
    values = data.read().double()
    for sample in range(SAMPLES):
        for time in range(TIMES):
            base = expected(data, sample, time)
            parts = [base, base + 0.5, -base, base, base + 1, base + 2, base + 3]
            torch.testing.assert_close(values[sample, time], torch.stack(parts, dim=-1), rtol=0, atol=1e-3)
    assert ("against" in data.decisions[0]) is turned


def test_the_graph_has_the_files_coordinates_and_the_period_of_its_boundaries(tmp_path: Path) -> None:
    data = WellData(write_well(tmp_path / "a.hdf5"))
    assert data.boundaries == {"x": "periodic", "y": "wall"}
    graph = data.graph()
    assert graph.period == pytest.approx((NX * 0.5, None))
    torch.testing.assert_close(graph.pos[::NX, 1], torch.from_numpy(Y), rtol=0, atol=1e-6)
    torch.testing.assert_close(graph.pos[:NX, 0], torch.from_numpy(X), rtol=0, atol=1e-6)
    assert float(graph.mass.sum()) == pytest.approx(NX * 0.5 * 1.0)
    np.testing.assert_allclose(data.times, [0, 0.1, 0.2, 0.3], atol=1e-7)
    assert data.layout.parameters == {"Re": 100.0}


def test_constants_are_repeated_along_what_they_do_not_vary_with(tmp_path: Path) -> None:
    for turned in (False, True):
        data = WellData(write_well(tmp_path / "a.hdf5", turned=turned))
        assert data.constant_channels == ("height", "depth")
        x, y = data.graph().pos.T
        constants = data.read_constants().double()
        for sample in range(SAMPLES):
            parts = torch.stack([y + sample, x], dim=-1)
            torch.testing.assert_close(constants[sample], parts, rtol=0, atol=1e-5)


def test_slices_are_those_of_the_whole_over_several_files_and_splits(tmp_path: Path) -> None:
    root = tmp_path / "made_up"
    for number in range(3):
        write_well(root / "data" / "train" / f"part_{number}.hdf5", offset=10.0 * number)
    write_well(root / "data" / "test" / "part.hdf5", offset=70.0, samples=2)
    data = WellData(root)
    assert len(data) == 3 * SAMPLES
    whole = data.read()
    for part in (slice(2, 8, 3), slice(1, None, 2), slice(4, 4), slice(-4, None)):
        for times in (slice(None), slice(1, 4, 2), slice(-1, None)):
            assert torch.equal(data.read(part, times), whole[part, times])
    assert torch.equal(data.read(-1), whole[-1:])
    base = expected(data, 21.0, 2)  # trajectory 1 of the third file
    torch.testing.assert_close(whole[7, 2, :, 0].double(), base, rtol=0, atol=2e-3)
    test = WellData(root, split="test").read(0, slice(0, 1))
    torch.testing.assert_close(test[0, 0, :, 0].double(), expected(data, 70.0, 0), rtol=0, atol=1e-2)
    with pytest.raises(ValueError, match="read forwards"):
        data.read(slice(None, None, -1))
    with pytest.raises(IndexError, match="9 samples, got index 9"):
        data.read(9)


def test_statistics_come_in_the_order_of_the_channels(tmp_path: Path) -> None:
    path = write_well(tmp_path / "made_up" / "data" / "train" / "a.hdf5")
    assert WellData(path).moments is None
    stats = {
        "std": {"density": 2.0, "D": [[1.0, 2.0], [0.0, 4.0]], "velocity": [0.5, 0.25], "height": 9.0},
        "mean": {"velocity": [3.0, 4.0], "density": 1.0, "D": [[5.0, 6.0], [7.0, 8.0]]},
    }
    (tmp_path / "made_up" / "stats.yaml").write_text(yaml.safe_dump(stats))
    moments = WellData(tmp_path / "made_up").moments
    assert moments is not None
    assert moments.mean.tolist() == [1, 3, 4, 5, 6, 7, 8]
    assert moments.std.tolist() == [2, 0.5, 0.25, 1, 2, 1, 4]
    stats["mean"]["velocity"] = [3.0]
    (tmp_path / "made_up" / "stats.yaml").write_text(yaml.safe_dump(stats))
    with pytest.raises(ValueError, match=r"stats.yaml.*components of \['velocity'\]"):
        WellData(tmp_path / "made_up")


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = write_well(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        file["t0_fields/density"][1, 2, 3, 4] = np.nan
    data = WellData(path)
    assert torch.isfinite(data.read(slice(0, 3, 2))).all()
    with pytest.raises(ValueError, match=r"trajectory 1 of .*a.hdf5. has values that are NaN"):
        data.read()
    with h5py.File(path, "a") as file:
        file["boundary_conditions/x_boundary"].attrs["bc_type"] = "moving"
    with pytest.raises(ValueError, match="periodic, wall, open, got 'moving'"):
        WellData(path)
    with h5py.File(path, "a") as file:
        del file["dimensions/x"]
        file["dimensions/x"] = np.arange(NX + 1.0)
        file["boundary_conditions/x_boundary"].attrs["bc_type"] = "OPEN"
    with pytest.raises(ValueError, match=r"density should have shape \[3, 4, 8, 5\], got \[3, 4, 7, 5\]"):
        WellData(path)
    write_well(tmp_path / "set" / "train" / "a.hdf5")
    write_well(tmp_path / "set" / "train" / "b.hdf5", kinds=("OPEN", "WALL"))
    with pytest.raises(ValueError, match=r"b.hdf5. should have the boundaries of"):
        WellData(tmp_path / "set")
    with pytest.raises(ValueError, match=r"should be or hold .hdf5 files"):
        WellData(tmp_path / "nowhere")


def test_a_damaged_later_part_leaves_the_first_record_readable(tmp_path: Path) -> None:
    path = write_well(tmp_path / "a.hdf5", fletcher32=True)
    first = WellData(path).read(0)
    with h5py.File(path) as file:
        where = file["t1_fields/velocity"].id.get_chunk_info(2).byte_offset
    content = bytearray(path.read_bytes())
    content[where + 40] ^= 0x10
    path.write_bytes(content)
    data = WellData(path)
    assert torch.equal(data.read(0), first)
    with pytest.raises(ValueError, match=r"trajectory 2 of .*a.hdf5. cannot be read"):
        data.read()


def test_uneven_axes_are_read_and_have_no_grid_graph(tmp_path: Path) -> None:
    path = write_well(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        file["dimensions/y"][:] = np.array([-1.0, -0.9, 0.0, 0.9, 1.0])
    data = WellData(path)
    assert data.read(0).shape == (1, TIMES, NX * NY, 7)
    with pytest.raises(ValueError, match="coordinate y should ascend in even steps"):
        data.graph()
