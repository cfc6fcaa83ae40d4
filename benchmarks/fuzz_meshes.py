"""Read thousands of damaged mesh files: each should be refused with a MeshError or give a sound mesh.

python benchmarks/fuzz_meshes.py --files 10000 [--out fuzz.json]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import meshio
import numpy as np

from irno_graph.mesh import Mesh, MeshError, read_mesh, write_mesh
from irno_graph.mesh.declared import SCANNERS
from irno_graph.mesh.formats import FORMATS
from irno_graph.mesh.staging import quiet

NUMBERS = (b"1000000000000", b"-1", b"0", b"99999999999999999999999", b"nan", b"1e400", b"3", b"2147483648")
OTHERS = {"gmsh22.msh": {"binary": False}, "gmsh.msh": {"binary": False}, "vtk42.vtk": {"binary": False}}
OTHERS |= {"ansys.msh": {}, "vtk51.vtk": {"binary": False}, "stl.stl": {"binary": True}, "ply.ply": {}}


@dataclass
class Row:
    """What happened to the files of one format."""

    read: int = 0
    refused: int = 0
    worst: float = 0.0
    wrong: list[str] = field(default_factory=list)


def seeds(folder: Path) -> list[Path]:
    """Small sound files in every format that can be written, some in two versions."""
    points = np.random.default_rng(0).random((9, 3))
    corners = {
        "triangle": [[0, 1, 2], [2, 1, 3], [4, 5, 6], [6, 7, 8]],
        "tetra": [[0, 1, 2, 3], [4, 5, 6, 7], [5, 6, 7, 8]],
    }
    found = []
    for form in FORMATS:
        for kind in sorted(form.cells & set(corners)):
            for suffix in form.suffixes:
                mesh = Mesh(points, [(kind, corners[kind])], {"u": points[:, 0]})
                path = folder / f"{form.name}_{kind}" / f"seed{suffix}"
                try:
                    write_mesh(path, mesh, lossy=True)
                    read_mesh(path, audited=False)
                    found.append(path)
                except MeshError as error:
                    print(f"no seed {path.name}: {error}")
    for name, options in OTHERS.items():
        path = folder / name.replace(".", "_") / f"seed{Path(name).suffix}"
        path.parent.mkdir()
        raw = meshio.Mesh(points, [("triangle", np.array(corners["triangle"]))])
        with quiet():
            raw.write(path, file_format=name.split(".")[0], **options)
        found.append(path)
    return found


def damaged(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """The name of a damage, and `data` with it."""
    kind = str(rng.choice(["flip", "cut", "number", "double", "delete"]))
    if kind == "cut":
        return kind, data[: rng.integers(len(data))]
    if kind == "flip":
        array = np.frombuffer(data, dtype=np.uint8).copy()
        for place in rng.integers(len(array), size=rng.integers(1, 6)):
            array[place] ^= 1 << int(rng.integers(8))
        return kind, array.tobytes()
    lines = data.split(b"\n")
    place = int(rng.integers(len(lines)))
    if kind == "number":
        words = lines[place].split(b" ")
        words[int(rng.integers(len(words)))] = NUMBERS[int(rng.integers(len(NUMBERS)))]
        lines[place] = b" ".join(words)
    elif kind == "double":
        lines.insert(place, lines[place])
    else:
        del lines[place]
    return kind, b"\n".join(lines)


def complaint(mesh: Mesh, seed: Mesh, kind: str, declares: bool) -> str:
    """What is wrong with a mesh that was read; empty where nothing is."""
    if not np.isfinite(mesh.points).all() or not len(mesh.points):
        return "points that are no numbers"
    if any(block.size and not 0 <= block.min() <= block.max() < len(mesh.points) for _, block in mesh.cells):
        return "cells over missing points"
    sizes = [(len(part.points), sum(len(block) for _, block in part.cells)) for part in (mesh, seed)]
    if kind == "cut" and declares and (sizes[0][0] < sizes[1][0] or sizes[0][1] < sizes[1][1]):
        return f"cut off, {sizes[0]} of {sizes[1]} points and cells came back"
    return ""


def fuzz(files: int, seed: int = 0) -> dict[str, Row]:
    """Damage and read so many files, in turn over the formats; one row per seed file."""
    rng, rows = np.random.default_rng(seed), {}
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = seeds(Path(name))
        sound = {path: (path.read_bytes(), read_mesh(path, audited=False)) for path in paths}
        for number in range(files):
            path = paths[number % len(paths)]
            row = rows.setdefault(f"{path.parent.name}{path.name.removeprefix('seed')}", Row())
            target = _target(path, rng)
            data = sound[path][0] if target == path else target.read_bytes()
            kind, changed = damaged(data, rng)
            target.write_bytes(changed)
            _one(path, kind, sound[path][1], target == path, row)
            target.write_bytes(data)
    return rows


def _target(path: Path, rng: np.random.Generator) -> Path:
    """The file to damage: mostly the mesh file, sometimes one beside it that it needs."""
    beside = [other for other in sorted(path.parent.glob("seed.h5")) if path.suffix in (".xdmf", ".xmf")]
    return beside[0] if beside and rng.random() < 0.5 else path


def _one(path: Path, kind: str, seed: Mesh, main: bool, row: Row) -> None:
    began = time.perf_counter()
    try:
        mesh = read_mesh(path, time_limit=0.5, audited=False)
        row.read += 1
        declares = (
            main and any(path.name.endswith(suffix) for suffix in SCANNERS) and "stl" not in path.parent.name
        )
        problem = complaint(mesh, seed, kind, declares and path.parent.name != "ansys_msh")
    except MeshError:
        row.refused += 1
        problem = ""
    except Exception as error:
        problem = f"{kind}: {type(error).__name__}: {error}"
    row.worst = max(row.worst, time.perf_counter() - began)
    if problem:
        row.wrong.append(problem)


def table(rows: dict[str, Row]) -> Iterator[str]:
    """Lines of a table, one per format."""
    yield f"{'format':<28}{'read':>7}{'refused':>9}{'worst s':>9}{'wrong':>7}"
    for name, row in rows.items():
        yield f"{name:<28}{row.read:>7}{row.refused:>9}{row.worst:>9.2f}{len(row.wrong):>7}"
    yield f"{'all':<28}{sum(r.read for r in rows.values()):>7}{sum(r.refused for r in rows.values()):>9}"
    for name, row in rows.items():
        yield from (f"{name}: {problem}" for problem in sorted(set(row.wrong))[:5])


def main() -> int:
    """Run from the command line; 1 if a file did harm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    from harness import about, sentence, write_json  # beside this script, which tests load from elsewhere

    here = about("meshio", "h5py")
    print(sentence(here))
    rows = fuzz(given.files, given.seed)
    print("\n".join(table(rows)))
    if given.out:
        formats = {name: asdict(row) for name, row in rows.items()}
        write_json(given.out, {"files": given.files, "seed": given.seed, "formats": formats}, here)
    return 1 if any(row.wrong for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
