"""The table of formats: what it says a format holds comes back, what it does not is refused."""

import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irno_graph.mesh import Mesh, MeshError, read_mesh, write_mesh
from irno_graph.mesh.formats import FORMATS, Format, losses
from irno_graph.mesh.mesh import CORNERS

CASES = [(form, suffix) for form in FORMATS for suffix in form.suffixes]
NAMES = [f"{form.name}{suffix}" for form, suffix in CASES]


@st.composite
def meshes(draw: st.DrawFn, form: Format) -> Mesh:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = 3 if form.mixed else 1
    kinds = draw(
        st.lists(st.sampled_from(sorted(form.cells)), min_size=1, max_size=most, unique=not form.tags)
    )
    if len(kinds) > 1:
        kinds = [kind for kind in kinds if kind not in form.alone] or kinds[:1]
    count = draw(st.integers(10, 20))
    points = rng.normal(size=(count, 3)) * 10.0 ** draw(st.integers(-3, 3))
    cells = []
    for kind in kinds:
        rows = draw(st.integers(1, 4))
        cells.append((kind, np.stack([rng.permutation(count)[: CORNERS[kind]] for _ in range(rows)])))
    sizes = [len(block) for _, block in cells]
    point_data = {"u": rng.normal(size=count)} if form.point_data else {}
    cell_data = {"c": [rng.normal(size=size) for size in sizes]} if form.cell_data else {}
    if form.point_data == "all":
        point_data["v"] = rng.normal(size=(count, 3))
    if form.cell_data == "all":
        cell_data["w"] = [rng.normal(size=(size, 3)) for size in sizes]
    return Mesh(points, cells, point_data, cell_data)


def by_kind(mesh: Mesh) -> dict[str, np.ndarray]:
    return {kind: mesh.cells_of(kind) for kind in sorted({kind for kind, _ in mesh.cells})}


def check_trip(form: Format, suffix: str, mesh: Mesh) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_mesh(Path(folder) / f"a{suffix}", mesh)
        back = read_mesh(Path(folder) / f"a{suffix}", audited=False)
    slack = 10.0**-form.digits * np.abs(mesh.points).max() if form.digits < 17 else 0.0
    if form.soup:
        before, after = mesh.points[mesh.cells_of("triangle")], back.points[back.cells_of("triangle")]
        assert np.array_equal(before, after)
        return
    np.testing.assert_allclose(back.points, mesh.points, rtol=0.0, atol=slack)
    for kind, corners in by_kind(mesh).items():
        assert np.array_equal(back.cells_of(kind), corners)
    assert list(by_kind(back)) == list(by_kind(mesh))
    for name, values in mesh.point_data.items():
        np.testing.assert_allclose(back.point_data[name], values, rtol=10.0 ** (1 - form.digits))
    for name, blocks in mesh.cell_data.items():
        one, two = np.concatenate(back.cell_data[name]), np.concatenate(blocks)
        np.testing.assert_allclose(one, two, rtol=10.0 ** (1 - form.digits))


@pytest.mark.parametrize(("form", "suffix"), CASES, ids=NAMES)
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_a_format_holds_comes_back(form, suffix, data):
    if form.package and find_spec(form.package) is None:
        pytest.skip(f"{form.package} is not installed")
    check_trip(form, suffix, data.draw(meshes(form)))


def test_what_a_format_does_not_hold_is_refused_by_name_with_advice(tmp_path):
    mesh = Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])], {"u": [0.0, 1, 2]}, period=(3.0, None))
    with pytest.raises(MeshError, match=r"lose point_data\['u'\], the period: write .vtu"):
        write_mesh(tmp_path / "a.off", mesh)
    assert not list(tmp_path.iterdir())
    write_mesh(tmp_path / "a.off", mesh, lossy=True)
    back = read_mesh(tmp_path / "a.off", audited=False)
    assert back.point_data == {}
    assert back.period is None
    assert np.array_equal(back.points, mesh.points)


def test_cells_that_a_format_has_no_word_for_are_refused(tmp_path):
    mesh = Mesh(np.eye(4, 3), [("tetra", [[0, 1, 2, 3]]), ("triangle", [[0, 1, 2]])])
    with pytest.raises(MeshError, match="cells of type 'tetra'"):
        write_mesh(tmp_path / "a.stl", mesh)
    with pytest.raises(MeshError, match="more than one type"):
        write_mesh(tmp_path / "a.med", mesh)


def test_the_four_complete_formats_lose_nothing():
    mesh = Mesh(
        np.eye(4, 3), [("tetra", [[0, 1, 2, 3]])], {"v": np.eye(4)}, tags={"field_data": {"a": [1, 3]}}
    )
    assert [form.name for form in FORMATS if not losses(form, mesh)] == ["vtu", "vtk", "xdmf", "gmsh"]
