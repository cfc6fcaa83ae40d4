"""What a velocity field says about its own axes: divergence, energy, and whether it goes on across the seam."""

from __future__ import annotations

import numpy as np


def relative_divergence(vx: np.ndarray, vy: np.ndarray) -> float:
    """|d_x vx + d_y vy| / |grad v| of fields `[nx, ny]` on the unit square, by central differences inside.

    0 for a flow without divergence, about 1 if x and y are exchanged; 0 for a constant flow.
    """
    (xx, xy), (yx, yy) = (_slopes(component) for component in (vx, vy))
    slopes = np.sqrt(np.mean(xx**2 + xy**2 + yx**2 + yy**2))
    return float(np.sqrt(np.mean((xx + yy) ** 2)) / slopes) if slopes > 0 else 0.0


def energy_misfit(state: np.ndarray, gamma: float) -> float:
    """Relative misfit of E = rho |v|^2 / 2 + p / (gamma - 1) in a state `[5, nx, ny]` of rho, vx, vy, p, E."""
    rho, vx, vy, p, energy = state
    scale = np.sqrt(np.mean(energy**2))
    expected = 0.5 * rho * (vx**2 + vy**2) + p / (gamma - 1)
    return float(np.sqrt(np.mean((energy - expected) ** 2)) / scale) if scale > 0 else float("inf")


def continuous(vx: np.ndarray, vy: np.ndarray) -> str:
    """A sentence on the seam: steps of the vorticity `[nx, ny]` across it, against those inside."""
    turn = _periodic_slope(vy, 0) - _periodic_slope(vx, 1)
    ratios = []
    for axis in (0, 1):
        # the last row's slope and the first's use values from both sides, so three steps lie at the seam
        steps = np.abs(np.diff(turn, axis=axis, append=turn.take([0], axis=axis)))
        rows = steps.mean(axis=1 - axis)
        seam, inside = rows[[-2, -1, 0]].mean(), rows[1:-2].mean()
        ratios.append(seam / inside if inside > 0 else 1.0)
    smooth = max(ratios) < 3
    word = "goes on" if smooth else "jumps"
    figures = f"{ratios[0]:.2g} (x) and {ratios[1]:.2g} (y) of those inside"
    return f"vorticity {word} across the seam: steps there are {figures}"


def _slopes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nx, ny = values.shape
    return (
        (values[2:, 1:-1] - values[:-2, 1:-1]) * (nx / 2),
        (values[1:-1, 2:] - values[1:-1, :-2]) * (ny / 2),
    )


def _periodic_slope(values: np.ndarray, axis: int) -> np.ndarray:
    return (np.roll(values, -1, axis) - np.roll(values, 1, axis)) * (values.shape[axis] / 2)
