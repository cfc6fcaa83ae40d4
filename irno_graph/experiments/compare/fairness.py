"""The rules that make a comparison fair: when a base is trained out, and which width meets a budget."""

from collections.abc import Callable


class Plateau:
    """Says when a validation error has not improved by a share over `patience` epochs.

    Raises:
        ValueError: `patience` below 1 or `share` outside [0, 1).
    """

    def __init__(self, patience: int, *, share: float = 0.01) -> None:
        if patience < 1 or not 0 <= share < 1:
            raise ValueError(f"expected patience >= 1 and 0 <= share < 1, got {patience} and {share}")
        self.patience = patience
        self.share = share
        self._mark = float("inf")
        self._waited = 0

    def reached(self, error: float) -> bool:
        """Take the error of one more epoch; True once the plateau is reached."""
        if error < (1 - self.share) * self._mark:
            self._mark, self._waited = error, 0
        else:
            self._waited += 1
        return self._waited >= self.patience


def nearest_width(parameters: Callable[[int], int], target: int, *, low: int = 1, high: int = 1024) -> int:
    """The width in [low, high] whose parameter count is nearest to `target`, by bisection.

    `parameters` maps a width to its count and does not decrease.

    Raises:
        ValueError: the target lies outside the counts of `low` and `high`.
    """
    least, most = parameters(low), parameters(high)
    if not least <= target <= most:
        raise ValueError(f"expected a target in [{least}, {most}] parameters, got {target}; choose another")
    while high - low > 1:
        middle = (low + high) // 2
        if parameters(middle) <= target:
            low = middle
        else:
            high = middle
    return min((low, high), key=lambda width: abs(parameters(width) - target))
