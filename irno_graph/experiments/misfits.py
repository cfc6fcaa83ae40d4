"""What in an experiment file does not fit its dataclass, and on which line it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

import yaml

Key = tuple[str | int, ...]
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word or text"}
TRUTHS = ("true", "false", "yes", "no", "on", "off")


class Misfit(NamedTuple):
    """A key whose value, or which itself, does not fit.

    Attributes:
        key: names of mappings and numbers of list items on the way to it.
        what: what was expected and what came.
    """

    key: Key
    what: str


def misfits(kind: Any, value: Any, key: Key = ()) -> Iterator[Misfit]:
    """All of them in `value`, as YAML gives it, where a `kind` is wanted: a dataclass, list, dict or scalar type."""
    origin = get_origin(kind)
    if is_dataclass(kind):
        known = get_type_hints(kind)
        if not isinstance(value, Mapping):
            yield Misfit(
                key, f"should be a mapping with keys such as {', '.join(list(known)[:3])}, got {value!r}"
            )
            return
        for name, own in value.items():
            if name in known:
                yield from misfits(known[name], own, (*key, str(name)))
            else:
                yield Misfit((*key, str(name)), f"is unknown{_nearest(str(name), list(known))}")
    elif origin is list:
        if not isinstance(value, list):
            yield Misfit(key, f"should be a list, got {value!r}")
            return
        for number, own in enumerate(value):
            yield from misfits(get_args(kind)[0], own, (*key, number))
    elif origin is dict:
        if not isinstance(value, Mapping):
            yield Misfit(key, f"should be a mapping, got {value!r}")
            return
        for name, own in value.items():
            yield from misfits(get_args(kind)[1], own, (*key, str(name)))
    elif kind in WORDS and not _fits(kind, value):
        yield Misfit(key, f"should be {WORDS[kind]}, got {value!r}")


def dotted(key: Key) -> str:
    """As it is written.

    >>> dotted(("data", "train", 2, "nodes"))
    'data.train[2].nodes'
    """
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


def parts(key: str) -> Key:
    """The key that is written like this.

    >>> parts("data.train[2].nodes")
    ('data', 'train', 2, 'nodes')
    """
    return tuple(
        int(number) if number else name for number, name in re.findall(r"\[(\d+)\]|([^.\[\]]+)", key)
    )


def line_of(text: str, key: Key) -> int | None:
    """The line, from 1, on which a key of a YAML text stands; None where it is not in there."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    line = None
    for part in key:
        if isinstance(node, yaml.MappingNode):
            own = next(((name, value) for name, value in node.value if name.value == str(part)), None)
            if own is None:
                return None
            line, node = own[0].start_mark.line + 1, own[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return None
    return line


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f": did you mean `{near[0]}`?" if near else f", known are {', '.join(known)}"


def _fits(kind: Any, value: Any) -> bool:
    """Whether OmegaConf takes it: numbers may be written as texts."""
    if value is None or isinstance(value, list | Mapping):
        return False
    if kind is bool:
        return isinstance(value, bool | int) or str(value).lower() in TRUTHS
    if kind is str:
        return True
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        return False
    try:
        kind(value)
    except ValueError:
        return False
    return True
