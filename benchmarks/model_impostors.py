"""Files that pretend to be models, paths that lead nowhere, and all the kinds of damage that `fuzz_models.py` tries."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import model_damage as damage
import numpy as np
import torch
from model_damage import NAMES, Damage, File, Place, Rng, at, joined, leaves, pick, put, written
from safetensors.torch import load, save

from irno_graph.refine.storage import HEADER

MARK = Path("/tmp") / f"irno-graph-fuzz-{os.getpid()}"  # exists once something in a file ran
SIZES = (0, -1, 10**6, 10**9, 10**12, float("nan"), float("inf"), 2.5, "8", "os.system", None, [], {})


def resealed(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Settings that cannot be those of the weights, with the hash that belongs to them."""
    new = copy.deepcopy(file)
    own_base = "own" in new.description.get("base", {})
    found = [
        (place, choices)
        for place in leaves(new.description)
        for choices in [_impossible(place, own_base)]
        if choices and place[0] != "about"
    ]
    place, choices = pick(rng, found)
    before, after = at(new.description, place), pick(rng, choices)
    if callable(after):
        after = after(before)
    if json.dumps(before) == json.dumps(after):
        after = "?"
    put(new.description, place, after)
    return written(f"{place} from {before!r:.20} to {after!r:.20}", new.sealed().packed(), path)


def _impossible(place: Place, own_base: bool) -> tuple[Any, ...]:
    """What an entry cannot be."""
    name = place[-1] if isinstance(place[-1], str) else place[-2]
    if place[-2:] == ("options", "edge_hidden"):
        return ()  # grid correctors have no edges
    if name in (
        "hidden",
        "layers",
        "channels",
        "in_channels",
        "node_hidden",
        "edge_hidden",
        "processor_steps",
    ):
        return SIZES
    if name in ("base_channels", "depth", "coordinate_frequencies", "memory") or place[0] == "guard":
        return (
            "os.system",
            float("nan"),
            -1 if place[0] != "guard" else [],
            2.5 if place[0] != "guard" else {},
        )
    if name == "shape":
        return (10**9, 10**12, 0, -1, "8", float("nan"))
    if name in ("alpha", "after"):
        return (0, -1, float("nan"), "os.system", [], {"kind": "os.system"})
    if name == "kind":
        return (*NAMES, "LeftOut", 3, None, [])
    if name == "steps":
        return (-1, 1.5, "3", float("nan"), None, 10**400)
    if place[0] == "scaling" and isinstance(place[-1], int):
        return (lambda value: value + 1e-3,)
    if name == "weights_hash" or (name == "base_hash" and not own_base):
        return (lambda value: value[::-1], "", None, 3)
    return ()


def foreign(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Files of something else: pickles, archives, text, safetensors of other people."""
    kind = pick(rng, list(FOREIGN))
    FOREIGN[kind](path, file)
    return kind, path


class Evil:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {MARK}",)


def _zipped(path: Path, file: File) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.safetensors", file.packed())


def _numpy(path: Path, file: File) -> None:
    stream = io.BytesIO()
    np.savez(stream, a=np.ones(3))
    path.write_bytes(stream.getvalue())


def _tagged(text: str) -> Callable[[Path, File], object]:
    """A safetensors file whose header has such an entry."""
    return lambda path, file: path.write_bytes(save({"a": torch.ones(2)}, metadata={HEADER: text}))


def _named(path: Path, file: File) -> None:
    tensors = load(file.packed())
    path.write_bytes(save(tensors, metadata={"format": "pt"}))


FOREIGN: dict[str, Callable[[Path, File], object]] = {
    "a pickle": lambda path, file: path.write_bytes(pickle.dumps(Evil())),
    "a checkpoint": lambda path, file: torch.save({"model": Evil()}, path),
    "an archive": _zipped,
    "numpy": _numpy,
    "nothing": lambda path, file: path.write_bytes(b""),
    "text": lambda path, file: path.write_text("import os\n"),
    "json": lambda path, file: path.write_text(json.dumps(file.description)),
    "the weights alone": _named,
    "an entry that is no JSON": _tagged("os.system('true')"),
    "an entry that is null": _tagged("null"),
    "an entry that is a list": _tagged("[2]"),
    "an entry that is a word": _tagged('"format"'),
    "a later format": _tagged('{"format": 3}'),
    "a format that is no number": _tagged('{"format": true}'),
    "a bare entry": _tagged('{"format": 1}'),
}


def places(file: File, rng: Rng, path: Path) -> tuple[str, Any]:
    """Paths that are no files."""
    kind = str(
        pick(rng, ("folder", "loop", "dangling", "pipe", "device", "missing", "null", "long", "within"))
    )
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        other = path.with_name("other.safetensors")
        path.symlink_to(other)
        other.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(path.with_name("gone.safetensors"))
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "null":
        path = path.with_name("a\0b.safetensors")
    elif kind == "long":
        path = path.with_name("a" * 5000)
    elif kind == "within":
        path.write_bytes(file.packed())
        path = path / "inner.safetensors"
    return kind, path


def huge(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Files that say they are large, or are nested or long where they should not be."""
    kind = str(
        pick(rng, ("sparse", "nested header", "nested entry", "digits", "many tensors", "long entry", "wide"))
    )
    if kind == "sparse":
        path.write_bytes(file.packed())
        os.truncate(path, 2**33)
        return kind, path
    data = {
        "nested header": lambda: joined(b'{"a":' * 100_000, b""),
        "nested entry": lambda: save({"a": torch.ones(2)}, metadata={HEADER: "[" * 100_000}),
        "digits": lambda: save({"a": torch.ones(2)}, metadata={HEADER: '{"format": ' + "9" * 10_000 + "}"}),
        "many tensors": lambda: save(
            {f"t{k}": torch.ones(0) for k in range(20_000)}, metadata={HEADER: "{}"}
        ),
        "long entry": lambda: save({"a": torch.ones(2)}, metadata={HEADER: json.dumps("a" * 10**7)}),
        "wide": lambda: save({"a": torch.ones(2)}, metadata={HEADER: json.dumps(list(range(10**5)))}),
    }[kind]()
    return written(kind, data, path)


def harmless(file: File, rng: Rng, path: Path) -> tuple[str, Path]:
    """Spaces and orders that mean nothing in JSON."""
    new = copy.deepcopy(file)
    kind = str(pick(rng, ("spaces", "indent", "order", "order of tensors", "another entry")))
    header, text = dict(new.header), json.dumps(new.description)
    if kind == "indent":
        text = json.dumps(new.description, indent=3)
    elif kind == "order":
        text = json.dumps({name: new.description[name] for name in rng.permutation(list(new.description))})
    elif kind == "order of tensors":
        header = {name: header[name] for name in rng.permutation(list(header))}
    header["__metadata__"] = {HEADER: text} | ({"format": "pt"} if kind == "another entry" else {})
    spaces = b" " * int(rng.integers(1, 50)) if kind == "spaces" else b""
    return written(kind, joined(json.dumps(header).encode() + spaces, new.body), path)


KINDS: dict[str, Damage] = {
    "truncated": damage.cut,
    "bits of the header's length": damage.flip_length,
    "bits of the header": damage.flip_header,
    "bits of the weights": damage.flip_tensors,
    "tensors swapped": damage.swap,
    "types, shapes and offsets": damage.entry,
    "names of tensors": damage.names,
    "names in the description": damage.keys,
    "numbers in the description": damage.number,
    "words in the description": damage.text,
    "impossible settings, resealed": resealed,
    "other people's files": foreign,
    "paths that are no files": places,
    "huge or nested": huge,
    "spaces and order": harmless,
}
SEALED_ONLY = ("bits of the header", "names in the description", "numbers in the description")
SEALED_ONLY += ("words in the description", "impossible settings, resealed")
