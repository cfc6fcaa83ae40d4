"""Compiled kernels: WENO5-Z reconstruction, HLLC flux and one SSP-RK3 march, for one trajectory each.

Rows are one-dimensional views with offsets that are never negative, and nothing branches in the inner loops:
in this form LLVM vectorises them. Rows are cut from an array by indices and one slice at the end, which numba
knows to be contiguous; it does not of a row of a slice. No fast-math flag is set, so a result does not depend
on the vector width, and sums are ordered so that mirrored states give mirrored results.

Density and pressure stay positive in the way of Zhang and Shu (J. Comput. Phys. 229, 2010): values at faces
are drawn towards the cell's until they, and what the faces leave of the cell, are admissible (`limit`), and a
step that fails all the same is taken again with half the time (`march`). HLLC with the bounds of wave speeds
used here keeps admissible states admissible (Batten et al., SIAM J. Sci. Comput. 18, 1997). Where nothing has
to be drawn, nothing changes to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from irno_graph.data.euler import GAMMA

try:
    import numba
except ModuleNotFoundError as missing:
    raise ImportError(
        "The Euler solver needs numba, which is not installed: run `pip install 'irno-graph[datagen]'`."
    ) from missing

GHOSTS = 3
_TINY = 1e-20
_LEAST = 0.1  # of a cell's density and pressure that a face keeps; below it sound speeds would run away
_WEIGHT = 1.0 / 6.0  # of each face in the cell's mean, Simpson's rule
_HALVINGS = 10


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without the GIL; cached on disk where numba finds a directory it can write to."""
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(function)


@compiled
def reconstruct(a, b, c, d, e, low, high):
    """WENO5-Z values at the low and the high face of cells c, from cell averages a, b, c, d, e in a row."""
    for i in range(low.size):
        va, vb, vc, vd, ve = a[i], b[i], c[i], d[i], e[i]
        bend0, bend1, bend2 = va - 2.0 * vb + vc, (vb + vd) - 2.0 * vc, ve - 2.0 * vd + vc
        tilt0, tilt1, tilt2 = va - 4.0 * vb + 3.0 * vc, vb - vd, ve - 4.0 * vd + 3.0 * vc
        rough0 = 13.0 / 12.0 * bend0 * bend0 + 0.25 * tilt0 * tilt0 + _TINY
        rough1 = 13.0 / 12.0 * bend1 * bend1 + 0.25 * tilt1 * tilt1 + _TINY
        rough2 = 13.0 / 12.0 * bend2 * bend2 + 0.25 * tilt2 * tilt2 + _TINY
        tau2 = (rough0 - rough2) * (rough0 - rough2)
        # 1 + (tau / rough)^2, times the squares of all three: one division per face is left.
        sq0, sq1, sq2 = rough0 * rough0, rough1 * rough1, rough2 * rough2
        w0, w1, w2 = (sq0 + tau2) * sq1 * sq2, (sq1 + tau2) * (sq0 * sq2), (sq2 + tau2) * sq1 * sq0
        h0, h1, h2 = w0, 6.0 * w1, 3.0 * w2
        l0, l1, l2 = 3.0 * w0, 6.0 * w1, w2
        high[i] = (
            h0 * (2.0 * va - 7.0 * vb + 11.0 * vc)
            + h1 * (5.0 * vc - vb + 2.0 * vd)
            + h2 * (2.0 * vc + 5.0 * vd - ve)
        ) / (6.0 * (h0 + h1 + h2))
        low[i] = (
            l2 * (2.0 * ve - 7.0 * vd + 11.0 * vc)
            + l1 * (5.0 * vc - vd + 2.0 * vb)
            + l0 * (2.0 * vc + 5.0 * vb - va)
        ) / (6.0 * (l2 + l1 + l0))


@compiled
def _admissible(r, u, t, p, rl, ul, tl, pl, rh, uh, th, ph):
    """Whether both faces (l, h) keep enough density and pressure, and the rest of the cell is admissible.

    The rest is U - w U_l - w U_h in conserved variables, taken in the frame of the cell's velocity.
    """
    ul, tl, uh, th = ul - u, tl - t, uh - u, th - t
    mass = r - _WEIGHT * (rl + rh)
    mu, mt = _WEIGHT * (rl * ul + rh * uh), _WEIGHT * (rl * tl + rh * th)
    motion = rl * (ul * ul + tl * tl) + rh * (uh * uh + th * th)
    energy = (p - _WEIGHT * (pl + ph)) / (GAMMA - 1.0) - 0.5 * _WEIGHT * motion
    dense = (rl >= _LEAST * r) & (rh >= _LEAST * r) & (mass > 0.0)
    return dense & (pl >= _LEAST * p) & (ph >= _LEAST * p) & (2.0 * mass * energy > mu * mu + mt * mt)


@compiled
def limit(r, u, t, p, low, high):
    """Draw the values [4, cells] at low and high faces towards those of the cells where it is needed.

    A cell is limited by one factor for all values: so that its faces keep `_LEAST` of density and pressure,
    then halved until the rest of the cell is admissible, at last 0: first order.
    """
    fine = 0
    for i in range(r.size):
        fine += _admissible(r[i], u[i], t[i], p[i], low[0, i], low[1, i], low[2, i], low[3, i],
                            high[0, i], high[1, i], high[2, i], high[3, i])  # fmt: skip
    if fine == r.size:
        return
    for i in range(r.size):
        if _admissible(r[i], u[i], t[i], p[i], low[0, i], low[1, i], low[2, i], low[3, i],
                       high[0, i], high[1, i], high[2, i], high[3, i]):  # fmt: skip
            continue
        factor = 1.0
        for cell, v in ((r[i], 0), (p[i], 3)):
            least = min(low[v, i], high[v, i])
            if least < _LEAST * cell:
                factor = min(factor, (1.0 - _LEAST) * cell / (cell - least) * (1.0 - 1e-12))
        for halving in range(5):
            share = factor if halving < 4 else 0.0
            for v, cell in ((0, r[i]), (1, u[i]), (2, t[i]), (3, p[i])):
                low[v, i] = cell + share * (low[v, i] - cell)
                high[v, i] = cell + share * (high[v, i] - cell)
            if _admissible(r[i], u[i], t[i], p[i], low[0, i], low[1, i], low[2, i], low[3, i],
                           high[0, i], high[1, i], high[2, i], high[3, i]):  # fmt: skip
                break
            factor = 0.5


@compiled
def hllc(rl, ul, tl, pl, rr, ur, tr, pr, mass, normal, tangential, energy):
    """HLLC fluxes between left and right states (density, normal and tangential velocity, pressure)."""
    for i in range(mass.size):
        r0, u0, t0, p0 = rl[i], ul[i], tl[i], pl[i]
        r1, u1, t1, p1 = rr[i], ur[i], tr[i], pr[i]
        c0, c1 = math.sqrt(GAMMA * p0 / r0), math.sqrt(GAMMA * p1 / r1)
        slow0, slow1, fast0, fast1 = u0 - c0, u1 - c1, u0 + c0, u1 + c1
        s0 = slow0 if slow0 < slow1 else slow1
        s1 = fast0 if fast0 > fast1 else fast1
        m0, m1 = r0 * (s0 - u0), r1 * (s1 - u1)
        contact = ((p1 - p0) + (m0 * u0 - m1 * u1)) / (m0 - m1)
        left = contact >= 0.0
        r, u, t, p = r0 if left else r1, u0 if left else u1, t0 if left else t1, p0 if left else p1
        s, m = s0 if left else s1, m0 if left else m1
        s0, s1 = s0 if s0 < 0.0 else 0.0, s1 if s1 > 0.0 else 0.0
        wave = s0 if left else s1
        e = p / (GAMMA - 1.0) + 0.5 * r * (u * u + t * t)
        star = m / (s - contact)
        star_e = star * (e / r + (contact - u) * (contact + p / m))
        mass[i] = r * u + wave * (star - r)
        normal[i] = r * u * u + p + wave * (star * contact - r * u)
        tangential[i] = r * u * t + wave * t * (star - r)
        energy[i] = u * (e + p) + wave * (star_e - e)


@compiled
def fill_primitives(conserved, padded):
    """Write density, velocity and pressure of [4, nx, ny] into [4, nx + 6, ny + 6] with periodic ghosts.

    Returns whether density and pressure are positive everywhere, which NaN is not.
    """
    nx, ny = conserved.shape[1], conserved.shape[2]
    positive = 0
    for i in range(nx):
        r, mx, my, e = conserved[0, i], conserved[1, i], conserved[2, i], conserved[3, i]
        density = padded[0, i + GHOSTS, GHOSTS : GHOSTS + ny]
        vx = padded[1, i + GHOSTS, GHOSTS : GHOSTS + ny]
        vy = padded[2, i + GHOSTS, GHOSTS : GHOSTS + ny]
        pressure = padded[3, i + GHOSTS, GHOSTS : GHOSTS + ny]
        for j in range(ny):
            inverse = 1.0 / r[j]
            density[j] = r[j]
            vx[j] = mx[j] * inverse
            vy[j] = my[j] * inverse
            pressure[j] = (GAMMA - 1.0) * (e[j] - 0.5 * inverse * (mx[j] * mx[j] + my[j] * my[j]))
        for j in range(ny):
            positive += (density[j] > 0.0) & (pressure[j] > 0.0)
    for v in range(4):
        for i in range(nx):
            row = padded[v, i + GHOSTS]
            for g in range(GHOSTS):
                row[g] = row[g + ny]
                row[g + ny + GHOSTS] = row[g + GHOSTS]
        for g in range(GHOSTS):
            padded[v, g] = padded[v, g + nx]
            padded[v, g + nx + GHOSTS] = padded[v, g + GHOSTS]
    return positive == nx * ny


@compiled
def largest_rate(padded, dx, dy, buffer):
    """The largest (|vx| + c) / dx + (|vy| + c) / dy over the cells; `buffer` has one row's length."""
    ny = buffer.size
    largest = 0.0
    for i in range(GHOSTS, padded.shape[1] - GHOSTS):
        density, vx = padded[0, i, GHOSTS : GHOSTS + ny], padded[1, i, GHOSTS : GHOSTS + ny]
        vy, pressure = padded[2, i, GHOSTS : GHOSTS + ny], padded[3, i, GHOSTS : GHOSTS + ny]
        for j in range(ny):
            c = math.sqrt(GAMMA * pressure[j] / density[j])
            buffer[j] = (abs(vx[j]) + c) / dx + (abs(vy[j]) + c) / dy
        for j in range(ny):
            largest = max(largest, buffer[j])
    return largest


@compiled
def _combine(now, start, x0, x1, y0, y1, keep, step_x, step_y):
    """now <- keep * start + (1 - keep) * now - step_x * (x1 - x0) - step_y * (y1 - y0), along a row."""
    for j in range(now.size):
        change = step_x * (x1[j] - x0[j]) + step_y * (y1[j] - y0[j])
        now[j] = keep * start[j] + (1.0 - keep) * now[j] - change


@compiled
def stage(conserved, start, padded, keep, step_x, step_y):
    """One Runge-Kutta stage in place: U <- keep U_start + (1 - keep) (U + dt L(U)).

    `padded` holds the primitives of `conserved`; step_x = (1 - keep) dt / dx, step_y likewise.
    """
    nx, ny = conserved.shape[1], conserved.shape[2]
    low, high, high_before = np.empty((4, ny)), np.empty((4, ny)), np.empty((4, ny))
    flux, flux_before = np.empty((4, ny)), np.empty((4, ny))
    low_y, high_y, flux_y = np.empty((4, ny + 2)), np.empty((4, ny + 2)), np.empty((4, ny + 1))
    for r in range(nx + 2):
        for v in range(4):
            reconstruct(
                padded[v, r, GHOSTS : GHOSTS + ny],
                padded[v, r + 1, GHOSTS : GHOSTS + ny],
                padded[v, r + 2, GHOSTS : GHOSTS + ny],
                padded[v, r + 3, GHOSTS : GHOSTS + ny],
                padded[v, r + 4, GHOSTS : GHOSTS + ny],
                low[v],
                high[v],
            )
        limit(padded[0, r + 2, GHOSTS : GHOSTS + ny], padded[1, r + 2, GHOSTS : GHOSTS + ny],
              padded[2, r + 2, GHOSTS : GHOSTS + ny], padded[3, r + 2, GHOSTS : GHOSTS + ny], low, high)  # fmt: skip
        if r > 0:
            hllc(high_before[0], high_before[1], high_before[2], high_before[3],
                 low[0], low[1], low[2], low[3], flux[0], flux[1], flux[2], flux[3])  # fmt: skip
        if r > 1:
            i = r - 2
            for v in range(4):
                q = padded[v, i + GHOSTS]
                reconstruct(
                    q[0 : ny + 2],
                    q[1 : ny + 3],
                    q[2 : ny + 4],
                    q[3 : ny + 5],
                    q[4 : ny + 6],
                    low_y[v],
                    high_y[v],
                )
            limit(padded[0, i + GHOSTS, 2 : ny + 4], padded[1, i + GHOSTS, 2 : ny + 4],
                  padded[2, i + GHOSTS, 2 : ny + 4], padded[3, i + GHOSTS, 2 : ny + 4], low_y, high_y)  # fmt: skip
            hllc(high_y[0, 0 : ny + 1], high_y[2, 0 : ny + 1], high_y[1, 0 : ny + 1], high_y[3, 0 : ny + 1],
                 low_y[0, 1 : ny + 2], low_y[2, 1 : ny + 2], low_y[1, 1 : ny + 2], low_y[3, 1 : ny + 2],
                 flux_y[0], flux_y[2], flux_y[1], flux_y[3])  # fmt: skip
            for v in range(4):
                _combine(conserved[v, i], start[v, i], flux_before[v], flux[v],
                         flux_y[v, 0:ny], flux_y[v, 1 : ny + 1], keep, step_x, step_y)  # fmt: skip
        high, high_before = high_before, high
        flux, flux_before = flux_before, flux


@compiled
def _step(conserved, start, padded, step_x, step_y):
    """One time step in place from `start`; returns whether all stages kept density and pressure positive."""
    for keep in (0.0, 0.75, 1.0 / 3.0):
        stage(conserved, start, padded, keep, (1.0 - keep) * step_x, (1.0 - keep) * step_y)
        if not fill_primitives(conserved, padded):
            return False
    return True


@compiled
def march(conserved, duration, dx, dy, cfl):
    """Advance [4, nx, ny] in place by `duration` with SSP-RK3; returns the number of time steps.

    Each step divides what is left into the fewest equal parts that the CFL condition allows, and into twice
    as many as often as density or pressure would not stay positive. -1 where that does not help.
    """
    nx, ny = conserved.shape[1], conserved.shape[2]
    padded, buffer = np.empty((4, nx + 2 * GHOSTS, ny + 2 * GHOSTS)), np.empty(ny)
    start = np.empty_like(conserved)
    left, steps = duration, 0
    if not fill_primitives(conserved, padded):
        return -1
    while left > 0.0:
        parts = max(1.0, math.ceil(left * largest_rate(padded, dx, dy, buffer) / cfl))
        start[:] = conserved
        halvings = 0
        while not _step(conserved, start, padded, left / parts / dx, left / parts / dy):
            if halvings == _HALVINGS:
                return -1
            conserved[:] = start
            fill_primitives(conserved, padded)
            parts *= 2.0
            halvings += 1
        left = 0.0 if parts == 1.0 else left - left / parts
        steps += 1
    return steps
