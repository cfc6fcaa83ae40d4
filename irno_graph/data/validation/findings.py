"""One line per check: what was found, what was expected, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["ok", "look", "wrong"]
ORDER: tuple[Verdict, ...] = ("ok", "look", "wrong")
SHOWN = 4  # samples that a sentence names


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        found: in words.
        expected: in words.
        verdict: "ok", "look" where a person should decide, "wrong" where the data should not be used as they are.
        figures: the numbers behind `found`, by name.
    """

    check: str
    found: str
    expected: str
    verdict: Verdict
    figures: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """All attributes, as JSON takes them."""
        return asdict(self)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The gravest verdict; "ok" where there is none.

    >>> worst([Finding("times", "even", "even", "ok"), Finding("values", "NaN", "finite", "wrong")])
    'wrong'
    """
    return max((finding.verdict for finding in findings), key=ORDER.index, default="ok")


def listed(words: Iterable[str]) -> str:
    """The first few of `words`, and how many more there are.

    >>> listed(str(number) for number in range(6))
    '0, 1, 2, 3 and 2 more'
    """
    found = list(words)
    more = len(found) - SHOWN
    return ", ".join(found[:SHOWN]) + (f" and {more} more" if more > 0 else "")
