"""Write the sample meshes of this directory: `python meshes/make_meshes.py`. Four of them need `pip install gmsh`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import meshio
import numpy as np

from irno_graph.mesh import Mesh, periodic_box, write_mesh

HERE = Path(__file__).parent
HOLES = ((0.5, 0.5, 0.2), (1.5, 0.5, 0.2), (1.0, 0.3, 0.12))  # x, y, radius


def l_shape(side: int = 8) -> Mesh:
    """The square [0, 2]^2 without its upper right quarter, `side` cells per unit, cut along diagonals."""
    count = 2 * side + 1
    iy, ix = np.mgrid[:count, :count]
    points = np.stack([ix.ravel(), iy.ravel()], axis=1) / side
    lower = (iy * count + ix)[:-1, :-1]  # [cells, cells] index of the lower left corner
    inside = ~((iy >= side) & (ix >= side))[:-1, :-1]
    corner = lower[inside]
    one = np.stack([corner, corner + 1, corner + count + 1], axis=1)
    two = np.stack([corner, corner + count + 1, corner + count], axis=1)
    used, triangles = np.unique(np.concatenate([one, two]), return_inverse=True)
    return Mesh(points[used], [("triangle", triangles.reshape(-1, 3))])


def mixed(side: int = 8) -> Mesh:
    """The wavy strip [0, 2] x [0, 1]: quads on its left half, triangles on its right half."""
    count = 2 * side + 1
    iy, ix = np.mgrid[: side + 1, :count]
    x, y = ix.ravel() / side, iy.ravel() / side
    inner = np.sin(np.pi * y)
    points = np.stack(
        [x + 0.04 * inner * np.sin(np.pi * x), y + 0.04 * inner * np.sin(2 * np.pi * x)], axis=1
    )
    corner = (iy * count + ix)[:-1, :-1].ravel()
    quads = np.stack([corner, corner + 1, corner + count + 1, corner + count], axis=1)
    left = x[corner] < 1
    halves = np.concatenate([quads[~left][:, [0, 1, 2]], quads[~left][:, [0, 2, 3]]])
    return Mesh(points, [("quad", quads[left]), ("triangle", halves)])


def bar(side: int = 2) -> Mesh:
    """[0, 4] x [0, 1]^2 in cubes of 1 / side: hexahedra to x = 2, wedges to x = 3, six pyramids in each then."""
    shape = (4 * side + 1, side + 1, side + 1)
    points = (
        np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1).reshape(-1, 3) / side
    )
    number = np.arange(len(points)).reshape(shape)
    i, j, k = (index.ravel() for index in np.meshgrid(*[np.arange(n - 1) for n in shape], indexing="ij"))
    ring = ((0, 0), (1, 0), (1, 1), (0, 1))
    cubes = np.stack([number[i + a, j + b, k + c] for c in (0, 1) for a, b in ring], axis=1)  # [cubes, 8]
    place = i / side
    wedges = cubes[(place >= 2) & (place < 3)]
    last = cubes[place >= 3]
    middle = len(points) + np.arange(len(last))
    sides = ((0, 1, 2, 3), (7, 6, 5, 4), (0, 4, 5, 1), (1, 5, 6, 2), (2, 6, 7, 3), (3, 7, 4, 0))
    pyramids = [np.concatenate([last[:, face], middle[:, None]], axis=1) for face in map(list, sides)]
    halves = [wedges[:, [0, 1, 2, 4, 5, 6]], wedges[:, [0, 2, 3, 4, 6, 7]]]
    return Mesh(
        np.concatenate([points, points[last].mean(axis=1)]),
        [
            ("hexahedron", cubes[place < 2]),
            ("wedge", np.concatenate(halves)),
            ("pyramid", np.concatenate(pyramids)),
        ],
    )


def icosphere(times: int = 2) -> Mesh:
    """The unit sphere: an icosahedron whose triangles are cut in four `times` times."""
    golden = (1 + np.sqrt(5)) / 2
    ends = [(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    points = np.array([np.roll(end, turn) for turn in range(3) for end in ends])
    points /= np.linalg.norm(points[0])
    near = np.linalg.norm(points[:, None] - points, axis=2) < 1.1
    triples = np.array([(a, b, c) for a in range(12) for b in range(a) for c in range(b)])
    faces = triples[near[triples[:, [0, 1, 2]], triples[:, [1, 2, 0]]].all(axis=1)]
    inward = np.linalg.det(points[faces]) < 0
    faces[inward] = faces[inward][:, [0, 2, 1]]
    for _ in range(times):
        sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=2).reshape(-1, 2)
        pairs, number = np.unique(sides, axis=0, return_inverse=True)
        ab, bc, ca = number.reshape(-1, 3).T + len(points)
        a, b, c = faces.T
        middle = points[pairs].sum(axis=1)
        points = np.concatenate([points, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
        faces = np.concatenate(
            [np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        )
    return Mesh(points, [("triangle", faces)])


def torus(around: int = 36, across: int = 14, radius: float = 1.0, tube: float = 0.4) -> Mesh:
    """The torus about the z axis, its normals outward."""
    i, j = (index.ravel() for index in np.meshgrid(np.arange(around), np.arange(across), indexing="ij"))
    u, v = 2 * np.pi * i / around, 2 * np.pi * (j + 0.5 * (i % 2)) / across
    ring = radius + tube * np.cos(v)
    points = np.stack([ring * np.cos(u), ring * np.sin(u), tube * np.sin(v)], axis=1)
    even, ahead = i % 2 == 0, (i + 1) % around
    here, up = i * across + j, i * across + (j + 1) % across
    over = ahead * across + np.where(even, j, (j + 1) % across)
    back = ahead * across + np.where(even, (j - 1) % across, j)
    one, two = np.stack([here, over, up], axis=1), np.stack([here, back, over], axis=1)
    return Mesh(points, [("triangle", np.concatenate([one, two]))])


def helix(turns: int = 3, points: int = 121) -> Mesh:
    """A curve in space: the helix of radius 1 that climbs 1 in each turn."""
    angle = np.linspace(0, 2 * np.pi * turns, points)
    start = np.arange(points - 1)
    line = np.stack([start, start + 1], axis=1)
    return Mesh(np.stack([np.cos(angle), np.sin(angle), angle / (2 * np.pi)], axis=1), [("line", line)])


@contextlib.contextmanager
def gmsh_model(size: float, version: float = 4.1) -> Iterator[Any]:
    """A fresh model of gmsh with elements of `size`; files are written as text of `version`.

    Raises:
        ImportError: naming the package to install.
    """
    try:
        import gmsh
    except ImportError as error:
        raise ImportError("this mesh needs gmsh, which is not installed: run `pip install gmsh`.") from error
    gmsh.initialize(interruptible=False)
    try:
        settings = {"General.Verbosity": 1, "General.NumThreads": 1, "Mesh.MshFileVersion": version}
        for name, value in (settings | {"Mesh.MeshSizeMin": size, "Mesh.MeshSizeMax": size}).items():
            gmsh.option.setNumber(name, value)
        yield gmsh
    finally:
        gmsh.finalize()


def name_sides(gmsh: Any, **sides: Any) -> None:
    """Physical groups of the boundary curves: the first name whose test holds of the centre (x, y) takes one."""
    groups: dict[str, list[int]] = {name: [] for name in sides}
    for _, curve in gmsh.model.getBoundary(gmsh.model.getEntities(2), oriented=False):
        x, y, _ = gmsh.model.occ.getCenterOfMass(1, curve)
        groups[next(name for name, test in sides.items() if test(x, y))].append(curve)
    for name, curves in groups.items():
        gmsh.model.addPhysicalGroup(1, curves, name=name)
    gmsh.model.addPhysicalGroup(2, [tag for _, tag in gmsh.model.getEntities(2)], name="domain")


def plate(path: Path) -> None:
    """[0, 2] x [0, 1] without three discs: left, right, free and hole are named."""
    with gmsh_model(0.09) as gmsh:
        occ = gmsh.model.occ
        body = occ.addRectangle(0, 0, 0, 2, 1)
        discs = [(2, occ.addDisk(x, y, 0, radius, radius)) for x, y, radius in HOLES]
        occ.cut([(2, body)], discs)
        occ.synchronize()
        name_sides(
            gmsh,
            left=lambda x, y: x < 1e-6,
            right=lambda x, y: x > 2 - 1e-6,
            free=lambda x, y: min(y, 1 - y) < 1e-6,
            hole=lambda x, y: True,
        )
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path))


def channel(path: Path) -> None:
    """[0, 2.2] x [0, 0.41] around a cylinder of radius 0.05 at (0.2, 0.2), finer near it: MSH 2.2."""
    with gmsh_model(0.06, version=2.2) as gmsh:
        occ = gmsh.model.occ
        body, disc = occ.addRectangle(0, 0, 0, 2.2, 0.41), occ.addDisk(0.2, 0.2, 0, 0.05, 0.05)
        occ.cut([(2, body)], [(2, disc)])
        occ.synchronize()
        name_sides(
            gmsh,
            inlet=lambda x, y: x < 1e-6,
            outlet=lambda x, y: x > 2.2 - 1e-6,
            wall=lambda x, y: min(y, 0.41 - y) < 1e-6,
            cylinder=lambda x, y: True,
        )
        gmsh.option.setNumber("Mesh.MeshSizeMin", 0.0)
        gmsh.model.mesh.setSizeCallback(
            lambda dim, tag, x, y, z, size: 0.016 + 0.14 * max(np.hypot(x - 0.2, y - 0.2) - 0.05, 0.0)
        )
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path))


def airfoil(path: Path, chordwise: int = 40) -> None:
    """NACA 0012 of chord 1 in a disc of radius 4 around its middle; markers airfoil and farfield."""
    x = 0.5 * (1 - np.cos(np.linspace(0, np.pi, chordwise + 1)))
    y = 0.6 * (0.2969 * np.sqrt(x) - 0.126 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1036 * x**4)
    y[-1] = 0.0  # the closed trailing edge
    outline = np.concatenate([np.stack([x, y], 1)[::-1], np.stack([x, -y], 1)[1:-1]])
    with gmsh_model(1.0) as gmsh:
        occ = gmsh.model.occ
        corners = [occ.addPoint(*corner, 0) for corner in outline]
        walls = [occ.addLine(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
        wing = occ.addPlaneSurface([occ.addCurveLoop(walls)])
        occ.cut([(2, occ.addDisk(0.5, 0, 0, 4, 4))], [(2, wing)])
        occ.synchronize()
        name_sides(gmsh, farfield=lambda x, y: abs(y) < 1e-9, airfoil=lambda x, y: True)
        gmsh.option.setNumber("Mesh.MeshSizeMin", 0.0)
        gmsh.model.mesh.setSizeCallback(
            lambda dim, tag, x, y, z, size: 0.055 + 0.26 * np.hypot(max(abs(x - 0.5) - 0.5, 0.0), y)
        )
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path))


def periodic_sides(path: Path) -> None:
    """[0, 1]^2 whose right and upper sides are copies of the left and lower ones, with $Periodic in the file."""
    with gmsh_model(0.09) as gmsh:
        gmsh.model.occ.addRectangle(0, 0, 0, 1, 1)
        gmsh.model.occ.synchronize()
        name_sides(
            gmsh,
            left=lambda x, y: x < 1e-6,
            right=lambda x, y: x > 1 - 1e-6,
            lower=lambda x, y: y < 1e-6,
            upper=lambda x, y: True,
        )
        for near, far, shift in ((4, 2, (1, 0)), (1, 3, (0, 1))):
            move = [1, 0, 0, shift[0], 0, 1, 0, shift[1], 0, 0, 1, 0, 0, 0, 0, 1]
            gmsh.model.mesh.setPeriodic(1, [far], [near], move)
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path))


def ball(path: Path) -> None:
    """The unit ball in tetrahedra, with the triangles of its surface: Medit."""
    with gmsh_model(0.36) as gmsh:
        gmsh.option.setNumber("Mesh.SaveElementTagType", 2)  # the physical groups
        gmsh.model.occ.addSphere(0, 0, 0, 1)
        gmsh.model.occ.synchronize()
        gmsh.model.addPhysicalGroup(3, [1], 1, name="ball")
        gmsh.model.addPhysicalGroup(2, [1], 2, name="surface")
        gmsh.model.mesh.generate(3)
        gmsh.write(str(path))


def write_raw(path: Path, mesh: Mesh, **settings: Any) -> None:
    """Write with meshio and its settings, which `write_mesh` does not pass on."""
    cells = [(kind, corners.astype(np.int32)) for kind, corners in mesh.cells]
    meshio.Mesh(mesh.points, cells).write(path, **settings)
    if path.suffix == ".ply":  # without the time of writing
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("comment")))


if __name__ == "__main__":
    write_mesh(HERE / "periodic_box.vtu", periodic_box(400, seed=0))
    write_mesh(HERE / "l_shape.vtu", l_shape())
    write_mesh(HERE / "mixed.vtk", mixed())
    write_mesh(HERE / "helix.vtu", helix())
    write_raw(HERE / "bar.xdmf", bar(), data_format="XML")
    write_raw(HERE / "icosphere.ply", icosphere(), binary=False)
    write_raw(HERE / "torus.stl", torus(), binary=True)
    for write, name in (
        (plate, "plate_with_holes.msh"),
        (channel, "cylinder_channel.msh"),
        (airfoil, "naca0012.su2"),
        (periodic_sides, "periodic_sides.msh"),
        (ball, "ball.mesh"),
    ):
        write(HERE / name)
