"""What a model file may ask for: settings of the right types, and tensors about as large as those that it holds."""

from __future__ import annotations

import dataclasses
import enum
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

MOST_NODES = 2**24  # of a grid that a file describes: 4096 x 4096, 256 x 256 x 256
PER_NODE = 8  # numbers that a base on a grid makes beside its weights; on a sphere so many for each side, too
MOST_NESTED = 16  # bases around each other: wrappers, and refined models that others refine
MOST_STEPS = 10**6
SPARE = 2**20  # numbers for what is made beside the weights


class StorageError(ValueError):
    """A file that is not a model of this library, or a damaged one."""


class Within(TorchDispatchMode):
    """Lets tensors be made as long as they are about as many, and as large, as those of a file.

    Args:
        tensors: of the file.
        entry: its description, whose grids need graphs.

    Raises:
        StorageError: while it is entered, once more are made; for a grid of more than `MOST_NODES`.
    """

    def __init__(self, tensors: Mapping[str, Tensor], entry: Any) -> None:
        super().__init__()
        weights = sum(value.numel() for value in tensors.values())
        self.numbers = 4 * weights + grid_numbers(entry) + SPARE
        self.pieces = 4 * len(tensors) + 1000

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Counts what is made from a shape alone."""
        shape = args[0] if args and isinstance(args[0], list | tuple) else None
        if shape is not None and all(isinstance(side, int) for side in shape):
            self.numbers -= math.prod(shape)
            self.pieces -= 1
            if min(self.numbers, self.pieces) < 0:
                raise StorageError(
                    f"its sizes are those of a far larger model, such as a tensor {list(shape)}"
                )
        return func(*args, **(kwargs or {}))


def grid_numbers(entry: Any) -> int:
    """How many numbers the grids and spheres in a description may need, generously.

    Raises:
        StorageError: for one of more than `MOST_NODES`.
    """
    if not isinstance(entry, dict):
        return 0
    total = sum(map(grid_numbers, entry.values()))
    for name in ("shape", "sphere"):
        shape = entry.get(name)
        if isinstance(shape, list) and shape and all(isinstance(side, int) for side in shape):
            if math.prod(shape) > MOST_NODES:
                raise StorageError(f"a grid should have at most {MOST_NODES} nodes, got {shape}")
            on_sphere = name == "sphere" or isinstance(entry.get("grid"), str)
            total += PER_NODE * math.prod(shape) * (max(shape) if on_sphere else 1)  # Legendre functions
    return total


def check_settings(kind: Any, settings: Any) -> None:
    """Raise a `StorageError` unless settings, as JSON holds them, are what the annotations of `kind` say."""
    if not isinstance(settings, dict):
        raise StorageError(f"settings of a {kind.__name__} should have names, got {settings!r:.60}")
    hints = get_type_hints(kind.__init__)
    for name, value in settings.items():
        if name in hints and not fits(value, hints[name]):
            wanted = getattr(hints[name], "__name__", str(hints[name]))
            raise StorageError(f"`{name}` of a {kind.__name__} should be {wanted}, got {value!r:.60}")


def fits(value: Any, hint: Any) -> bool:
    """Whether what JSON holds can be of a type; types that it cannot hold are not judged.

    >>> fits([1, 2], tuple[int, ...]), fits("os.system", int), fits(float("nan"), float | None)
    (True, False, False)
    """
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return any(fits(value, part) for part in arguments)
    if get_origin(hint) is Literal:
        return value in arguments
    if get_origin(hint) is tuple:
        repeated = len(arguments) == 2 and arguments[1] is Ellipsis
        parts = arguments[:1] * len(value) if repeated and isinstance(value, list) else arguments
        return isinstance(value, list) and len(value) == len(parts) and all(map(fits, value, parts))
    if hint in (int, bool):
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if hint is float:
        return isinstance(value, int | float) and not math.isnan(value)
    if hint is type(None):
        return value is None
    if isinstance(hint, type) and issubclass(hint, str | enum.Enum):
        return isinstance(value, str)
    if dataclasses.is_dataclass(hint):
        named = get_type_hints(hint)
        return isinstance(value, dict) and all(
            fits(part, named.get(name, Any)) for name, part in value.items()
        )
    return True


def difference(said: Any, found: Any, name: str = "") -> str:
    """Where `found` is not what a description said, both as JSON holds them: dotted names, empty for nowhere.

    What the description does not mention may be anything.

    >>> difference({"a": {"b": 1}}, {"a": {"b": 2}, "c": 3}), difference([1], [1])
    ('a.b', '')
    """
    if isinstance(said, dict) and isinstance(found, dict):
        own = f"{name}." if name else ""
        parts = (difference(part, found.get(key), f"{own}{key}") for key, part in said.items())
        return next(filter(None, parts), "")
    same = type(said) is type(found) and (said == found or (said != said and found != found))
    return "" if same else name or "all of it"
