"""Checks of plane flows: axes, conservation, the equation of state, what CE-Gauss starts from."""

from __future__ import annotations

import numpy as np

from irno_graph.data.validation.findings import Finding, Verdict, listed
from irno_graph.data.validation.flow_figures import WAYS
from irno_graph.data.validation.scan import Record

CLEAR = 0.5  # of the other ways: a divergence below that tells
FREE = 0.35  # relative divergence of a flow that is called free of it
ROUNDING = 1e-5  # float32 fields
NOISES = 2.0  # sampling errors that a drift may have
P0, RHO0, PUBLISHED = 2.5, 0.1, 2.513  # CE-Gauss at t = 0, and Poseidon's constant
STARTS = {"of periodised Gaussians": 2.5146, "of Gaussians that are not": 2.5128}  # 0.4 times the mean energy
NEAR, DIGITS = 1e-3, 2e-4  # of p, and of the energies in STARTS
FEW = 16  # samples, below which their spread says nothing


def axes_check(records: list[Record], kind: str) -> Finding | None:
    """Divergence at the first time, read in four ways; None where slopes are not known."""
    known = [record.slopes for record in records if record.slopes.get("all", 0) > 0]
    if not known:
        return None
    whole = sum(slopes["all"] for slopes in known)
    found = {way: float(np.sqrt(sum(slopes[way] for slopes in known) / whole)) for way in WAYS}
    figures = "; ".join(f"{way} {value:.3g}" for way, value in found.items())
    expected = "least as (x, y), as it is read, where the flow starts free of divergence"
    best, second = sorted(found, key=lambda way: found[way])[:2]
    clear = found[best] <= FREE and found[best] <= CLEAR * found[second]
    if not clear:
        return Finding(
            "axes", f"relative divergence {figures}: the flow does not tell", expected, "look", found
        )
    if best == "(x, y)":
        return Finding("axes", f"relative divergence {figures}", expected, "ok", found)
    if best == "(y, x)":
        advice = 'pass the other `axes` ("xy" or "yx")' if kind == "grid" else "exchange the columns of x"
        return Finding("axes", f"relative divergence {figures}: {advice}", expected, "wrong", found)
    sentence = f"relative divergence {figures}: an axis or a component may run backwards"
    return Finding("axes", sentence, expected, "look", found)


def conservation_checks(records: list[Record], excuse: str | None) -> list[Finding]:
    """Largest drift of mass, momentum and energy from their first values, over all samples.

    Relative to the first value, for the momentum to the root of the mean of |rho v|^2. With an `excuse`, which says why
    they may change, no drift is wrong.
    """
    momenta = ("momentum_x", "momentum_y", "momentum_z")
    found = []
    for name, conserved in (("mass", ("mass",)), ("momentum", momenta), ("energy", ("energy",))):
        columns = [column for column in conserved if records and column in records[0].flow]
        if columns:
            found.append(_conservation(records, name, columns, excuse))
    return found


def _conservation(records: list[Record], name: str, columns: list[str], excuse: str | None) -> Finding:
    drifts, allowed = [], []
    for record in records:
        flow = record.flow
        scale = np.sqrt(flow["momentum_square"][0]) if name == "momentum" else abs(flow[columns[0]][0])
        changes = np.stack([np.abs(flow[column] - flow[column][0]) for column in columns])
        noise = max(flow[f"{column}_noise"].max() for column in columns)
        drifts.append(changes.max() / max(scale, 1e-300))
        allowed.append(ROUNDING + NOISES * noise / max(scale, 1e-300))
    ratios = np.array(drifts) / np.array(allowed)
    place = int(ratios.argmax())
    verdict: Verdict = "ok" if ratios[place] <= 1 else "look" if ratios[place] <= 3 or excuse else "wrong"
    largest = int(np.argmax(drifts))
    words = f"largest drift {drifts[largest]:.3g} (sample {records[largest].index})"
    if place != largest:
        words += f"; sample {records[place].index} drifts by {drifts[place]:.3g}"
    if excuse:
        words += f"; {excuse}"
    expected = f"constant, up to {allowed[place]:.2g} from sampling at the nodes"
    figures = {"drift": float(max(drifts)), "allowed": float(allowed[place])}
    return Finding(name, words, expected, verdict, figures)


def energy_check(records: list[Record], gamma: float) -> Finding | None:
    """E against p / (gamma - 1) + rho |v|^2 / 2; None where one of them is missing."""
    if not records or "misfit_square" not in records[0].flow:
        return None
    mean = {
        name: float(np.mean(np.concatenate([record.flow[name] for record in records])))
        for name in ("misfit_square", "misfit_mean", "energy_square", "swapped_square", "p_square", "fit")
    }
    misfit = np.sqrt(mean["misfit_square"] / max(mean["energy_square"], 1e-300))
    swapped = np.sqrt(mean["swapped_square"] / max(mean["p_square"], 1e-300))
    fitted = 1 + mean["p_square"] / mean["fit"] if mean["fit"] > 0 else float("nan")
    words = f"relative misfit {misfit:.3g}, mean misfit {mean['misfit_mean']:.4g}"
    verdict: Verdict = "ok" if misfit <= 1e-3 else "look" if misfit <= 2e-2 else "wrong"
    if verdict != "ok":
        words += ": " + (
            "p and E are exchanged"
            if swapped <= 1e-3
            else f"gamma = {fitted:.4g} fits best; a constant was added?"
        )
    figures = {"misfit": float(misfit), "mean": mean["misfit_mean"], "gamma": float(fitted)}
    return Finding("equation of state", words, f"E = p / {gamma - 1:.3g} + rho |v|^2 / 2", verdict, figures)


def positivity_check(records: list[Record]) -> Finding | None:
    """Least density and pressure; None where there is no density."""
    if not records or "rho_low" not in records[0].flow:
        return None
    words, figures, bad = [], {}, []
    for name in ("rho", "p"):
        if f"{name}_low" not in records[0].flow:
            continue
        lows = [float(record.flow[f"{name}_low"].min()) for record in records]
        place = int(np.argmin(lows))
        figures[name] = lows[place]
        words.append(f"{name} from {lows[place]:.4g} on (sample {records[place].index})")
        bad += [str(record.index) for record, low in zip(records, lows, strict=True) if not low > 0]
    sentence = "; ".join(words) + (f"; not positive in samples {listed(dict.fromkeys(bad))}" if bad else "")
    return Finding("positivity", sentence, "rho > 0 and p > 0", "wrong" if bad else "ok", figures)


def start_check(records: list[Record], gamma: float) -> Finding | None:
    """Pressure and energy at the first time against CE-Gauss; None for flows that do not start at rest in both.

    CE-Gauss starts with rho = 0.1 and p = 2.5 everywhere. (gamma - 1) E is then 2.5146 in the mean where the Gaussian
    vortices go on across the seam and 2.5128 where they do not; Poseidon's constant is 2.513.
    """
    flat = [record for record in records if _starts_flat(record)]
    if not flat or len(flat) < len(records):
        return None
    rho = float(np.mean([record.flow["mass"][0] for record in flat]))
    p = float(np.mean([record.flow["p_mean"][0] for record in flat]))
    energies = (gamma - 1) * np.array([record.flow["energy"][0] for record in flat])
    spread = float(energies.std() / np.sqrt(len(energies))) if len(energies) >= FEW else float("inf")
    figures = {"pressure": p, "energy": float(energies.mean()), "density": rho}
    expected = f"CE-Gauss: rho {RHO0}, p {P0}; {PUBLISHED} is Poseidon's constant"
    if abs(rho - RHO0) > NEAR * RHO0:
        return Finding("start", f"rho {rho:.5g}, p {p:.5g}: another flow", expected, "look", figures)
    words = f"p {p:.5g}, {gamma - 1:.3g} E {energies.mean():.5g}, {_fitting(float(energies.mean()), spread)}"
    if abs(p - P0) <= NEAR:
        return Finding("start", words, expected, "ok", figures)
    fits = "as the published constant" if abs(p - PUBLISHED) <= NEAR else "as neither"
    return Finding("start", f"{words}; p is {fits}", expected, "look", figures)


def _fitting(energy: float, spread: float) -> str:
    least, most = min(STARTS.values()), max(STARTS.values())
    if spread > (most - least) / 4:
        return f"too few samples to tell {least} from {most}"
    best = min(STARTS, key=lambda name: abs(energy - STARTS[name]))
    return (
        f"+- {spread:.1g}, as {best}"
        if abs(energy - STARTS[best]) < 3 * spread + DIGITS
        else "as no known one"
    )


def _starts_flat(record: Record) -> bool:
    flow = record.flow
    if not {"mass", "p_mean", "energy"} <= set(flow):
        return False
    pairs = (("rho_low", "rho_high"), ("p_low", "p_high"))
    return all(flow[high][0] - flow[low][0] <= 1e-3 * abs(flow[high][0]) for low, high in pairs)
