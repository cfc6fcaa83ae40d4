"""What each file format holds of a mesh: cell types, data and tags. tests/mesh/test_formats.py proves the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from irno_graph.mesh.mesh import CORNERS, Mesh, MeshError

ALL = frozenset(CORNERS)
SURFACE = frozenset({"triangle", "quad"})
SOLID = frozenset({"tetra", "pyramid", "wedge", "hexahedron"})


@dataclass(frozen=True)
class Format:
    """What a format holds when this package writes it and reads it back.

    Attributes:
        name: meshio's name.
        suffixes: of its files.
        cells: the cell types.
        mixed: whether cells of several types may stand in one file.
        alone: cell types that may only stand in one block and with no other.
        point_data, cell_data: "" for none, "scalars" for arrays `[rows]`, "all" for those and vectors.
        tags: whether sets, named ids, the period, dtypes and the split into blocks come back.
        digits: that coordinates keep; 17 is every bit.
        soup: whether corners come back only, with points merged and renumbered.
        package: an optional package that it needs.
    """

    name: str
    suffixes: tuple[str, ...]
    cells: frozenset[str] = ALL
    mixed: bool = True
    alone: frozenset[str] = frozenset()
    point_data: str = ""
    cell_data: str = ""
    tags: bool = False
    digits: int = 17
    soup: bool = False
    package: str = ""


FORMATS = (
    Format("vtu", (".vtu",), point_data="all", cell_data="all", tags=True),
    Format("vtk", (".vtk",), point_data="all", cell_data="all", tags=True),
    Format(
        "xdmf", (".xdmf", ".xmf"), alone=frozenset({"vertex"}), point_data="all", cell_data="all", tags=True
    ),
    Format("gmsh", (".msh",), point_data="all", cell_data="all", tags=True),
    Format("abaqus", (".inp",), ALL - {"vertex", "pyramid"}),
    Format("avsucd", (".avs",), digits=14),
    Format("cgns", (".cgns",), frozenset({"tetra"}), mixed=False),
    Format("dolfin-xml", (".xml",), frozenset({"triangle", "tetra"}), mixed=False),
    Format("exodus", (".e", ".exo", ".ex2"), point_data="scalars", package="netCDF4"),
    Format("h5m", (".h5m",), frozenset({"line", "triangle", "tetra"}), mixed=False, point_data="all"),
    Format("hmf", (".hmf",), mixed=False, point_data="all", cell_data="all"),
    Format("mdpa", (".mdpa",), ALL - {"pyramid"}),
    Format("med", (".med",), mixed=False, point_data="all", cell_data="all"),
    Format("medit", (".mesh", ".meshb"), ALL - {"vertex"}),
    Format("netgen", (".vol", ".vol.gz")),
    Format("obj", (".obj",), SURFACE),
    Format("off", (".off",), frozenset({"triangle"})),
    Format("permas", (".post", ".post.gz", ".dato", ".dato.gz")),
    Format("ply", (".ply",), SURFACE, point_data="scalars"),
    Format("stl", (".stl",), frozenset({"triangle"}), soup=True),
    Format("su2", (".su2",), SOLID),
    Format("tecplot", (".dat", ".tec"), ALL - {"vertex", "pyramid", "wedge"}, mixed=False, digits=14),
    Format("tetgen", (".ele", ".node"), frozenset({"tetra"})),
    Format("wkt", (".wkt",), frozenset({"triangle"}), soup=True),
)


def format_of(path: Path) -> Format | None:
    """The format that the suffix of `path` stands for.

    >>> format_of(Path("box.VTU")).name
    'vtu'
    """
    name = path.name.lower()
    return next((form for form in FORMATS if name.endswith(form.suffixes)), None)


def losses(form: Format, mesh: Mesh) -> list[str]:
    """What `mesh` holds and `form` does not, in words.

    >>> mesh = Mesh([[0, 0], [1, 0], [0, 1]], [("triangle", [[0, 1, 2]])], {"u": [0, 1, 2]})
    >>> losses(format_of(Path("a.off")), mesh)
    ["point_data['u']"]
    """
    kinds = {kind for kind, corners in mesh.cells if len(corners)}
    lost = [f"cells of type '{kind}'" for kind in sorted(kinds - form.cells)]
    if not form.mixed and len(kinds) > 1:
        lost.append(f"cells of more than one type ({', '.join(sorted(kinds))})")
    if len(mesh.cells) > 1:
        lost += [f"cells of type '{kind}' beside others" for kind in sorted(kinds & form.alone)]
    for name, values in mesh.point_data.items():
        if not held(form.point_data, values.ndim):
            lost.append(f"point_data['{name}']")
    for name, blocks in mesh.cell_data.items():
        if not all(held(form.cell_data, block.ndim) for block in blocks):
            lost.append(f"cell_data['{name}']")
    if not form.tags:
        lost += [f"tags['{name}']" for name, value in mesh.tags.items() if value]
        lost += ["the period"] if mesh.period is not None else []
    return lost


def held(ability: str, axes: int) -> bool:
    """Whether data with so many axes fit an ability of `Format`.

    >>> held("scalars", 1), held("scalars", 2), held("", 1)
    (True, False, False)
    """
    return ability == "all" or (ability == "scalars" and axes == 1)


def check_holds(form: Format, mesh: Mesh, name: str) -> None:
    """Refuse to write `mesh` in a format that would lose a part of it.

    Raises:
        MeshError: with what would be lost, and formats that hold it.
    """
    lost = losses(form, mesh)
    if lost:
        able = [other.suffixes[0] for other in FORMATS if not losses(other, mesh) and not other.package]
        advice = f"write {', '.join(able[:4])} instead, or" if able else "change the mesh, or"
        raise MeshError(
            f"`{name}` should be written in a format that holds all of the mesh, but '{form.name}' would "
            f"lose {', '.join(lost)}: {advice} accept the loss with `lossy=True` (`--lossy`)."
        )
