"""Channels that belong together: density, velocity, pressure and others, found from their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

ALIASES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "density": (("rho",), ("density",)),
    "velocity": (
        ("vx", "vy", "vz"),
        ("ux", "uy", "uz"),
        ("velocity_x", "velocity_y", "velocity_z"),
        ("v_x", "v_y", "v_z"),
        ("u_x", "u_y", "u_z"),
        ("u", "v", "w"),  # last: two substances have these names, too
    ),
    "pressure": (("p",), ("pressure",)),
    "energy": (("e",), ("energy",)),
}
COMPONENT = re.compile(r"(.+)_[xyz]{1,2}")


@dataclass(frozen=True)
class ChannelGroups:
    """Groups of channels that share one unit and so one standard deviation.

    Attributes:
        channels: names of the channels.
        index: the group of each channel, numbered by first appearance: RIGNO's chunks.
        names: of the groups.

    Raises:
        ValueError: if the three do not fit each other, or a name is there twice.
    """

    channels: tuple[str, ...]
    index: tuple[int, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        for what, names in (("channels", self.channels), ("names of groups", self.names)):
            if len(set(names)) < len(names):
                raise ValueError(f"{what} should differ, got {list(names)}: rename one, or leave it out.")
        if len(self.index) != len(self.channels) or set(self.index) != set(range(len(self.names))):
            raise ValueError(
                f"`index` should give one of {len(self.names)} groups for each of {len(self.channels)} channels and "
                f"use them all, got {list(self.index)}."
            )

    @classmethod
    def of(cls, channels: Sequence[str]) -> ChannelGroups:
        """Density, velocity, pressure and energy by their usual names, whatever the case (`ALIASES`).

        Components NAME_x, NAME_y and NAME_xy of other fields are a group NAME, unless NAME is a channel itself; every other
        channel is a group of its own. A `u` without a `v` is no velocity: waves have it.

        >>> ChannelGroups.of(["rho", "u", "v", "p", "B_x", "B_y"])
        ChannelGroups(channels=('rho', 'u', 'v', 'p', 'B_x', 'B_y'), index=(0, 1, 1, 2, 3, 3), names=('density', 'velocity', 'pressure', 'B'))

        Raises:
            ValueError: if a channel is there twice, or a density, velocity, pressure or energy by two names.
        """  # noqa: E501
        found: dict[str, str] = {}
        lower = {name.lower(): name for name in channels}
        for group, families in ALIASES.items():
            parts = [_parts(family, group, lower) for family in families]
            if sum(map(bool, parts)) > 1:
                raise ValueError(f"channels should have one {group}, got {list(channels)}: leave one out.")
            found |= dict.fromkeys((name for own in parts for name in own), group)
        groups = [found.get(name) or _stem(name, channels) for name in channels]
        names = tuple(dict.fromkeys(groups))
        return cls(tuple(channels), tuple(names.index(group) for group in groups), names)

    def columns(self, name: str) -> list[int]:
        """Places of the channels of group `name`; none where there is no such group."""
        number = self.names.index(name) if name in self.names else -1
        return [place for place, group in enumerate(self.index) if group == number]

    def only(self, places: Sequence[int]) -> ChannelGroups:
        """The groups of the channels at `places`."""
        own = [self.names[self.index[place]] for place in places]
        names = tuple(dict.fromkeys(own))
        channels = tuple(self.channels[place] for place in places)
        return ChannelGroups(channels, tuple(names.index(name) for name in own), names)

    def pooled(self, std: Tensor) -> Tensor:
        """Standard deviation of each channel's group `[channels]`: the root of the mean square of its channels'.

        Each channel varies about its own mean, so that a pressure of 2.5 +- 0.01 has 0.01.
        """
        if std.shape != (len(self.channels),):
            raise ValueError(f"`std` should have shape [{len(self.channels)}], got {list(std.shape)}.")
        index = torch.tensor(self.index, device=std.device)
        sums = std.new_zeros(len(self.names)).index_add(0, index, std.square())
        return (sums / torch.bincount(index)).sqrt()[index]


def _parts(family: tuple[str, ...], group: str, lower: Mapping[str, str]) -> list[str]:
    """The channels that a family of names means: its first ones; none where they do not say so."""
    parts = [part for part in family if part in lower]
    leading = parts == list(family[: len(parts)])
    alone = len(parts) == 1 and group == "velocity" and family[0] not in ("vx", "velocity_x")
    derivative = family[0] == "u_x" and "u" in lower
    return [] if alone or derivative or not leading else [lower[part] for part in parts]


def _stem(name: str, channels: Sequence[str]) -> str:
    match = COMPONENT.fullmatch(name)
    return match[1] if match and match[1] not in channels else name
