"""What a mesh file says it holds: counts from its header, to compare with what was read. No number is trusted."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from irno_graph.mesh.mesh import MeshError

CHUNK, OVERLAP = 2**20, 2**11
LINE = 2**12
PACKED = 1100  # no compression in use does better than about 1:1030
Counts = tuple[int | None, int | None]


@dataclass(frozen=True)
class Declared:
    """Points and cells that a file declares; None where it declares nothing."""

    points: int | None = None
    cells: int | None = None


def declared(file: Path) -> Declared:
    """The counts in the header of `file`, found without reading more of it than is needed at a time.

    >>> declared(Path("no.obj"))
    Declared(points=None, cells=None)
    """
    name = file.name.lower()
    scan = next((scan for suffix, scan in SCANNERS.items() if name.endswith(suffix)), None)
    if scan is None or re.search(r"\.(l?[br]\d+l?|l?b\d+)\.ugrid$", name):
        return Declared()
    opener: Callable[..., BinaryIO] = gzip.open if name.endswith(".gz") else open  # type: ignore[assignment]
    with opener(file, "rb") as stream:
        try:
            return Declared(*scan(stream, file))
        except (ValueError, IndexError, StopIteration, struct.error, zlib.error, OSError, EOFError):
            return Declared()  # the reader says what is wrong with it


def check_possible(counts: Declared, size: int, file: Path) -> None:
    """Refuse a file of `size` bytes that declares more than it could hold.

    Raises:
        MeshError: if so.
    """
    packed = file.suffix.lower() in (".vtu", ".xdmf", ".xmf", ".gz")
    most = max(size, 1) * (PACKED if packed else 1)
    for what, count in (("points", counts.points), ("cells", counts.cells)):
        if count is not None and count > most:
            raise MeshError(
                f"the header of `{file}` promises {count} {what}, "
                f"more than its {size} bytes can hold: the file is damaged."
            )


def check_complete(counts: Declared, points: int, cells: int, file: Path) -> None:
    """Compare the header with what was read.

    Raises:
        MeshError: if they differ.
    """
    for what, count, found in (("points", counts.points, points), ("cells", counts.cells, cells)):
        if count is not None and count != found:
            raise MeshError(
                f"`{file}` declares {count} {what}, got {found} when reading it: the file is cut off or "
                "damaged, or has several pieces; merge them into one or write the file again."
            )


def _matches(stream: BinaryIO, pattern: bytes, stop: bytes = b"") -> Iterator[re.Match]:
    """Matches of `pattern` (of fewer bytes than OVERLAP) in the stream, each once, until `stop` is met."""
    window, base, last = b"", 0, -1
    while chunk := stream.read(CHUNK):
        window += chunk
        end = window.find(stop) if stop else -1
        for match in re.finditer(pattern, window if end < 0 else window[:end]):
            if base + match.start() > last:
                last = base + match.start()
                yield match
        if end >= 0:
            return
        keep = window[-OVERLAP:]
        base, window = base + len(window) - len(keep), keep


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Stripped lines, without blank ones and comments; a longer line comes in pieces."""
    for line in iter(lambda: stream.readline(LINE), b""):
        text = line.strip()
        if text and not text.startswith((b"#", b"%")):
            yield text


def _number(match: re.Match | None) -> int | None:
    return None if match is None else int(match.group(1))


def _vtu(stream: BinaryIO, file: Path) -> Counts:
    pieces = [match.group() for match in _matches(stream, rb"<Piece\b[^>]{0,900}>", b"<AppendedData")]
    sums = []
    for name in (rb"NumberOfPoints", rb"NumberOfCells"):
        found = [re.search(name + rb"\s*=\s*[\"']\s*(\d{1,40})\s*[\"']", piece) for piece in pieces]
        counts = [_number(match) for match in found]
        sums.append(None if not counts or None in counts else sum(count or 0 for count in counts))
    return sums[0], sums[1]


def _vtk(stream: BinaryIO, file: Path) -> Counts:
    points = cells = None
    kept = False
    for match in _matches(stream, rb"(?i)(?<=\n)\s*(DATASET|POINTS|CELL_TYPES)[ \t]+(\w{1,40})(?=\s)"):
        word, value = match.group(1).upper(), match.group(2)
        if word == b"DATASET":
            kept = value.upper() == b"UNSTRUCTURED_GRID"
        elif word == b"POINTS" and points is None:
            points = int(value)
        elif word == b"CELL_TYPES":
            cells = int(value)
            break
    return (points, cells) if kept else (None, None)


def _gmsh(stream: BinaryIO, file: Path) -> Counts:
    head = stream.read(LINE)
    match = re.search(rb"\$MeshFormat\s+([\d.]{1,5})\s+(\d)\s+(\d)", head)
    if match is None:
        return None, None
    version, binary, width = match.group(1), match.group(2) == b"1", int(match.group(3))
    stream.seek(0)
    found: dict[bytes, int] = {}
    for section in _matches(stream, rb"\$(Nodes|Elements)[ \t]*\r?\n(?=([\s\S]{1,200}))"):
        if version.startswith(b"4") and binary:
            value = int.from_bytes(section.group(2)[width : 2 * width], "little")
        else:
            words = section.group(2).split(b"\n")[0].split()
            value = int(words[1 if version.startswith(b"4") else 0])
        found.setdefault(section.group(1), value)
    return found.get(b"Nodes"), found.get(b"Elements")


def _xdmf(stream: BinaryIO, file: Path) -> Counts:
    geometry = rb"<Geometry\b[^>]{0,300}>\s{0,100}<DataItem\b[^>]{0,500}>"
    both = list(islice(_matches(stream, rb"<Topology\b[^>]{0,500}>|" + geometry), 3))
    grids = [[match.group() for match in both if match.group().startswith(start)] for start in (b"<T", b"<G")]
    if [len(tags) for tags in grids] != [1, 1]:
        return None, None
    cells = re.search(rb"NumberOfElements\s*=\s*[\"']\s*(\d{1,40})\s*[\"']", grids[0][0])
    points = re.search(rb"Dimensions\s*=\s*[\"']\s*(\d{1,40})\s+\d", grids[1][0])
    return _number(points), _number(cells)


def _off(stream: BinaryIO, file: Path) -> Counts:
    words = b" ".join(islice(_lines(stream), 2)).split()
    return int(words[1]), int(words[2])


def _ply(stream: BinaryIO, file: Path) -> Counts:
    found: dict[bytes, int] = {}
    for line in islice(_lines(stream), 200):
        words = line.split()
        if words[0] == b"element":
            found[words[1]] = int(words[2])
        if words[0] == b"end_header":
            break
    return found.get(b"vertex"), found.get(b"face")


def _stl(stream: BinaryIO, file: Path) -> Counts:
    head = stream.read(84)
    return None, None if head[:5] == b"solid" else struct.unpack("<I", head[80:84])[0]


def _sections(stream: BinaryIO, points: str, cells: str) -> Counts:
    """Files of sections, each a keyword and on the next line, or after it, how many entries follow."""
    found: list[int | None] = [None, None]
    lines = _lines(stream)
    for line in lines:
        for place, names in enumerate((points, cells)):
            if match := re.fullmatch(rf"(?:{names})(?:[\s=]+(\d{{1,40}})\b.*)?".encode(), line):
                value = match.group(1) or next(lines).split()[0]
                found[place] = (found[place] or 0) + int(value)
    return found[0], found[1]


def _medit(stream: BinaryIO, file: Path) -> Counts:
    cells = "Edges|Triangles|Quadrilaterals|Tetrahedra|Prisms|Pyramids|Hexahedra|Hexaedra"
    return _sections(stream, "Vertices", cells)


def _su2(stream: BinaryIO, file: Path) -> Counts:
    return _sections(stream, "NPOIN", "NELEM|MARKER_ELEMS")


def _netgen(stream: BinaryIO, file: Path) -> Counts:
    cells = "pointelements|edgesegments(?:gi[23]?)?|surfaceelements(?:gi|uv)?|volumeelements"
    return _sections(stream, "points", cells)


def _tetgen(stream: BinaryIO, file: Path) -> Counts:
    counts: dict[str, int | None] = {".node": None, ".ele": None}
    for suffix in counts:
        other = file.with_suffix(suffix)
        if other.is_file():
            with open(other, "rb") as lines:
                counts[suffix] = int(next(_lines(lines)).split()[0])
    return counts[".node"], counts[".ele"]


def _ugrid(stream: BinaryIO, file: Path) -> Counts:
    words = [int(word) for word in next(_lines(stream)).split()]
    return (words[0], sum(words[1:])) if len(words) == 7 else (None, None)


def _avsucd(stream: BinaryIO, file: Path) -> Counts:
    words = next(_lines(stream)).split()
    return int(words[0]), int(words[1])


SCANNERS: dict[str, Callable[[BinaryIO, Path], Counts]] = {
    ".vtu": _vtu,
    ".vtk": _vtk,
    ".msh": _gmsh,
    ".xdmf": _xdmf,
    ".xmf": _xdmf,
    ".off": _off,
    ".ply": _ply,
    ".stl": _stl,
    ".mesh": _medit,
    ".su2": _su2,
    ".vol": _netgen,
    ".vol.gz": _netgen,
    ".node": _tetgen,
    ".ele": _tetgen,
    ".ugrid": _ugrid,
    ".avs": _avsucd,
}
