"""Model files in their parts, and damage to these, each `(file, rng, path) -> (what was done, path)`."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irno_graph.refine.hashes import SEAL, description_hash
from irno_graph.refine.storage import HEADER

Rng = np.random.Generator
Damage = Callable[["File", Rng, Path], tuple[str, Any]]
NAMES = ("os.system", "__import__('os').system('true')", "builtins.eval", "torch.hub.load", "subprocess", "")
NUMBERS = (0, -1, 7, 0.3, 1e-9, 10**9, 10**18, float("nan"), float("inf"), -float("inf"), True, None, 10**400)
Place = tuple[Any, ...]


@dataclass
class File:
    """A safetensors file in its parts: its header, the description within, and the bytes of the tensors."""

    header: dict[str, Any]
    description: dict[str, Any]
    body: bytes

    @staticmethod
    def read(path: Path) -> File:
        """The parts of a sound file."""
        data = path.read_bytes()
        end = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:end])
        return File(header, json.loads(header["__metadata__"][HEADER]), data[end:])

    def packed(self) -> bytes:
        """The file, with the description in the header."""
        header = self.header | {"__metadata__": {HEADER: json.dumps(self.description)}}
        return joined(json.dumps(header).encode(), self.body)

    def sealed(self) -> File:
        """With the hash that belongs to what it says."""
        self.description[SEAL] = description_hash(self.description)
        return self

    def earlier(self) -> File:
        """In the format before, whose description has no hash."""
        new = copy.deepcopy(self)
        del new.description[SEAL], new.description["commit"]
        new.description["format"] = 1
        scaling = new.description.get("scaling")
        if scaling:
            new.description["scaling"] = {name: scaling[name] for name in ("in_channels", "channels")}
        return new

    def tensors(self) -> list[str]:
        """Their names."""
        return [name for name in self.header if name != "__metadata__"]

    def bytes_of(self, name: str) -> bytes:
        """Of one tensor."""
        begin, end = self.header[name]["data_offsets"]
        return self.body[begin:end]


def joined(header: bytes, body: bytes) -> bytes:
    """A safetensors file."""
    return len(header).to_bytes(8, "little") + header + body


def leaves(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where the numbers, words and lists of JSON are."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        if not isinstance(part, dict):
            yield (*place, key)
        yield from leaves(part, (*place, key))


def at(value: Any, place: Place) -> Any:
    """What is there."""
    for key in place:
        value = value[key]
    return value


def put(value: Any, place: Place, new: Any) -> None:
    """Put something else there."""
    at(value, place[:-1])[place[-1]] = new


def pick(rng: Rng, choices: Any) -> Any:
    """One of them."""
    return choices[int(rng.integers(len(choices)))]


def flipped(data: bytes, begin: int, end: int, rng: Rng) -> tuple[str, bytes]:
    """One to five bits between two places."""
    array = bytearray(data)
    places = [int(place) for place in rng.integers(begin, end, size=rng.integers(1, 6))]
    for place in set(places):
        array[place] ^= 1 << int(rng.integers(8))
    return f"bits at {places}", bytes(array)


def written(what: str, data: bytes, path: Path) -> tuple[str, Path]:
    """`data` at `path`."""
    path.write_bytes(data)
    return what, path


def cut(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Truncated at any byte, or with bytes too many."""
    data = file.packed()
    if rng.random() < 0.1:
        return written("bytes too many", data + bytes(int(rng.integers(1, 100))), path)
    keep = int(rng.integers(len(data)))
    return written(f"the first {keep}", data[:keep], path)


def flip_length(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Flipped bits in the length of the header, or another length."""
    data = file.packed()
    if rng.random() < 0.3:
        number = pick(rng, (0, 1, 10**8, 10**8 + 1, 2**31, 2**62, 2**63, 2**64 - 1, len(data), len(data) - 8))
        return written(f"length {number}", number.to_bytes(8, "little") + data[8:], path)
    return written(*flipped(data, 0, 8, rng), path)


def flip_header(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Flipped bits in the header's JSON."""
    data = file.packed()
    return written(*flipped(data, 8, len(data) - len(file.body), rng), path)


def flip_tensors(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Flipped bits in the weights."""
    data = file.packed()
    return written(*flipped(data, len(data) - len(file.body), len(data), rng), path)


def swap(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Two tensors of one shape in each other's place."""
    new, names = copy.deepcopy(file), file.tensors()
    for first in rng.permutation(len(names)):
        one = names[int(first)]
        alike = [
            name
            for name in names
            if all(file.header[name][key] == file.header[one][key] for key in ("shape", "dtype"))
            and file.bytes_of(name) != file.bytes_of(one)
        ]
        if alike:
            break
    other = pick(rng, alike)
    new.header[one], new.header[other] = file.header[other], file.header[one]
    return written(f"{one} and {other}", new.packed(), path)


def entry(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Another type, shape or place of a tensor."""
    new = copy.deepcopy(file)
    name = pick(rng, file.tensors())
    own = new.header[name]
    kind = pick(rng, ("dtype", "shape", "data_offsets"))
    before = own[kind]
    if kind == "dtype":
        own[kind] = pick(
            rng, ("I32", "F64", "F16", "BF16", "U8", "F8_E4M3", "F4", "C64", "BOOL", "os.system", 3)
        )
    elif kind == "shape":
        own[kind] = pick(
            rng, ([*before, 1], [1, *before], [], [10**12], [-1], [2**63], [0], [2.5], "8", None)
        )
    else:
        begin, end = before
        own[kind] = pick(
            rng, ([end, begin], [0, end - begin], [begin, end + 4], [begin, 2**60], [-4, end], [begin])
        )
    if own[kind] == before:
        own[kind] = None
    return written(f"{kind} of {name}: {own[kind]}", new.packed(), path)


def names(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """A tensor left out, renamed, there twice, or one too many."""
    new = copy.deepcopy(file)
    name, how = pick(rng, file.tensors()), pick(rng, ("left out", "renamed", "doubled", "too many"))
    if how == "doubled":
        text = new.packed()
        own = json.dumps({name: file.header[name]})[1:-1].encode()
        header = text[8 : len(text) - len(file.body)]
        return written(f"{name} {how}", joined(header[:-1] + b", " + own + b"}", file.body), path)
    if how in ("left out", "renamed"):
        own = new.header.pop(name)
        if how == "renamed":
            new.header[f"{name}.os"] = own
    else:
        size = len(new.body)
        new.header["more"] = {"dtype": "F32", "shape": [2], "data_offsets": [size, size + 8]}
        new.body += bytes(8)
    return written(f"{name} {how}", new.packed(), path)


def keys(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """An entry of the description left out, renamed, there twice, or one too many."""
    new = copy.deepcopy(file)
    place = pick(rng, list(leaves(new.description)))
    place = place[: int(rng.integers(1, len(place) + 1))]
    how, inner = pick(rng, ("left out", "renamed", "doubled", "too many")), at(new.description, place[:-1])
    if how == "too many" or isinstance(inner, list):
        new.description["more"] = 1
    elif how == "doubled":
        text = json.dumps(new.description)
        own = json.dumps({place[0]: 1})[1:-1]
        new.header["__metadata__"] = {HEADER: text[:-1] + ", " + own + "}"}
        return written(f"{place[0]} doubled", joined(json.dumps(new.header).encode(), new.body), path)
    else:
        own = inner.pop(place[-1])
        if how == "renamed":
            inner[f"{place[-1]}_"] = own
    return written(f"{place} {how}", new.packed(), path)


def changed(file: File, rng: Rng, path: Path, choices: tuple[Any, ...]) -> tuple[str, Path]:
    """Something else in the description."""
    new = copy.deepcopy(file)
    place = pick(rng, list(leaves(new.description)))
    before, after = at(new.description, place), pick(rng, choices)
    if json.dumps(before) == json.dumps(after):
        after = "?"
    put(new.description, place, after)
    return written(f"{place} from {before!r:.20} to {after!r:.20}", new.packed(), path)


def number(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Another number in the description."""
    return changed(file, rng, path, NUMBERS)


def text(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Names of Python's modules in the description."""
    return changed(file, rng, path, NAMES)
