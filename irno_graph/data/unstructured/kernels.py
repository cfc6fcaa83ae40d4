"""Compiled kernels of the node-centred scheme: slopes, values at faces, HLLC fluxes, SSP-RK3 steps.

Fields are flat views of [nodes, variables, LANES], slopes of [nodes, 2, variables, LANES]. A lane is one trajectory and
nothing passes between lanes, so that a trajectory's result does not depend on its neighbours. The number of lanes is a
constant: then LLVM knows the strides and vectorises the loops over lanes. No fast-math flag is set.
"""

from __future__ import annotations

import math

import numpy as np

from irno_graph.data.euler import GAMMA
from irno_graph.data.euler.kernels import compiled

LANES = 16
_VX, _VY, _P, STATE = LANES, 2 * LANES, 3 * LANES, 4 * LANES
_LEAST = 0.1  # of a node's density and pressure that a value at a face keeps
_TINY = 1e-30
_KAPPA = 1.0 / 3.0


@compiled
def _fill_slopes(q, first, neighbour, weight, slope):
    """Least-squares gradients of the primitives q."""
    for i in range(first.size - 1):
        here, g = i * STATE, 2 * i * STATE
        slope[g : g + 2 * STATE] = 0.0
        for k in range(first[i], first[i + 1]):
            there = neighbour[k] * STATE
            wx, wy = weight[k, 0], weight[k, 1]
            for lane in range(STATE):
                change = q[there + lane] - q[here + lane]
                slope[g + lane] += wx * change
                slope[g + STATE + lane] += wy * change


@compiled
def _half_way(ahead, straight, limited):
    """U-MUSCL with kappa = 1/3: what is added to a node's value at the middle of an edge.

    `ahead` is the difference to the other end, `straight` what the slope makes of it. The limiter is van Albada's.
    """
    if limited:
        behind = 2.0 * straight - ahead
        s = (2.0 * ahead * behind + _TINY) / (ahead * ahead + behind * behind + _TINY)
        s = s if s > 0.0 else 0.0
        return 0.25 * s * ((1.0 - _KAPPA * s) * behind + (1.0 + _KAPPA * s) * ahead)
    return 0.5 * (_KAPPA * ahead + (1.0 - _KAPPA) * straight)


@compiled
def _reach_out(q, slope, i, j, dx, dy, limited, face, o):
    """Write node i's values at the middle of the edge to node j; its own where density or pressure would vanish."""
    k, m = 2 * i, 2 * i + STATE
    for lane in range(LANES):
        a, b, s, t = i + lane, j + lane, k + lane, m + lane
        r, u, v, p = q[a], q[a + _VX], q[a + _VY], q[a + _P]
        dr = _half_way(q[b] - r, slope[s] * dx + slope[t] * dy, limited)
        du = _half_way(q[b + _VX] - u, slope[s + _VX] * dx + slope[t + _VX] * dy, limited)
        dv = _half_way(q[b + _VY] - v, slope[s + _VY] * dx + slope[t + _VY] * dy, limited)
        dp = _half_way(q[b + _P] - p, slope[s + _P] * dx + slope[t + _P] * dy, limited)
        share = 1.0 if (r + dr >= _LEAST * r) & (p + dp >= _LEAST * p) else 0.0
        face[o + lane] = r + share * dr
        face[o + _VX + lane] = u + share * du
        face[o + _VY + lane] = v + share * dv
        face[o + _P + lane] = p + share * dp


@compiled
def _hllc(face, nx, ny):
    """HLLC flux along the unit vector (nx, ny) between the states face[:STATE] and face[STATE:], in place."""
    for lane in range(LANES):
        other = STATE + lane
        r0, x0, y0, p0 = face[lane], face[_VX + lane], face[_VY + lane], face[_P + lane]
        r1, x1, y1, p1 = face[other], face[_VX + other], face[_VY + other], face[_P + other]
        u0, t0, u1, t1 = nx * x0 + ny * y0, nx * y0 - ny * x0, nx * x1 + ny * y1, nx * y1 - ny * x1
        inverse = GAMMA / (r0 * r1)
        h0, h1 = p0 * r1 * inverse, p1 * r0 * inverse
        c0, c1 = math.sqrt(h0), math.sqrt(h1)
        slow0, slow1, fast0, fast1 = u0 - c0, u1 - c1, u0 + c0, u1 + c1
        s0 = slow0 if slow0 < slow1 else slow1
        s1 = fast0 if fast0 > fast1 else fast1
        m0, m1 = r0 * (s0 - u0), r1 * (s1 - u1)
        contact = ((p1 - p0) + (m0 * u0 - m1 * u1)) / (m0 - m1)
        left = contact >= 0.0
        r, u, t, p = r0 if left else r1, u0 if left else u1, t0 if left else t1, p0 if left else p1
        s, m, h = s0 if left else s1, m0 if left else m1, h0 if left else h1
        s0, s1 = s0 if s0 < 0.0 else 0.0, s1 if s1 > 0.0 else 0.0
        wave = s0 if left else s1
        energy = h * (1.0 / (GAMMA * (GAMMA - 1.0))) + 0.5 * (u * u + t * t)  # per mass
        inverse = 1.0 / (s - contact)
        star = m * inverse
        star_e = star * (energy + (contact - u) * contact) + (contact - u) * p * inverse
        along = r * u * u + p + wave * (star * contact - r * u)
        across = r * u * t + wave * t * (star - r)
        face[lane] = r * u + wave * (star - r)
        face[_VX + lane] = nx * along - ny * across
        face[_VY + lane] = ny * along + nx * across
        face[_P + lane] = u * (r * energy + p) + wave * (star_e - r * energy)


@compiled
def _add_faces(q, slope, dual, limited, change):
    """Subtract the flux through each face from node i and add it to node j."""
    face = np.empty(2 * STATE)
    for e in range(dual.edges.shape[0]):
        i, j = dual.edges[e, 0] * STATE, dual.edges[e, 1] * STATE
        dx, dy = dual.offset[e, 0], dual.offset[e, 1]
        length = dual.length[e]
        _reach_out(q, slope, i, j, dx, dy, limited, face, 0)
        _reach_out(q, slope, j, i, -dx, -dy, limited, face, STATE)
        _hllc(face, dual.unit[e, 0], dual.unit[e, 1])
        for lane in range(STATE):
            change[i + lane] -= length * face[lane]
        for lane in range(STATE):
            change[j + lane] += length * face[lane]


@compiled
def _add_sides(q, dual, free, change):
    """Subtract what leaves through the boundary: pressure alone at walls, HLLC fluxes to `free` [4] at open sides.

    Half a side sees 5/6 of its own node's pressure and 1/6 of the other's, which is exact for linear fields.
    """
    face = np.empty(2 * STATE)
    for s in range(dual.sides.shape[0]):
        hx, hy = dual.half[s, 0], dual.half[s, 1]
        length = math.sqrt(hx * hx + hy * hy)
        for end in range(2):
            i, j = dual.sides[s, end] * STATE, dual.sides[s, 1 - end] * STATE
            if dual.wall[s]:
                for lane in range(LANES):
                    p = (5.0 * q[i + _P + lane] + q[j + _P + lane]) / 6.0
                    change[i + _VX + lane] -= hx * p
                    change[i + _VY + lane] -= hy * p
            else:
                for lane in range(STATE):
                    face[lane] = q[i + lane]
                    face[STATE + lane] = free[lane // LANES]
                _hllc(face, hx / length, hy / length)
                for lane in range(STATE):
                    change[i + lane] -= length * face[lane]


@compiled
def _update(conserved, start, change, volume, keep, step, q):
    """U <- keep U_start + (1 - keep) (U + step change / volume), and its primitives q."""
    for i in range(volume.size):
        scale = (1.0 - keep) / volume[i]
        for lane in range(LANES):
            a, share = i * STATE + lane, scale * step[lane]
            b, c, d = a + _VX, a + _VY, a + _P
            r = keep * start[a] + (1.0 - keep) * conserved[a] + share * change[a]
            mx = keep * start[b] + (1.0 - keep) * conserved[b] + share * change[b]
            my = keep * start[c] + (1.0 - keep) * conserved[c] + share * change[c]
            e = keep * start[d] + (1.0 - keep) * conserved[d] + share * change[d]
            conserved[a], conserved[b], conserved[c], conserved[d] = r, mx, my, e
            inverse = 1.0 / r
            q[a], q[b], q[c] = r, mx * inverse, my * inverse
            q[d] = (GAMMA - 1.0) * (e - 0.5 * inverse * (mx * mx + my * my))


@compiled
def _fill_rates(q, reach, rate):
    """The largest share of an area that waves cross per time [LANES]; inf where density or pressure is not positive."""
    rate[:] = 0.0
    for i in range(reach.shape[0]):
        rx, ry, rc = reach[i, 0], reach[i, 1], reach[i, 2]
        for lane in range(LANES):
            a = i * STATE + lane
            sound = (q[a] > 0.0) & (q[a + _P] > 0.0)
            c = math.sqrt(GAMMA * q[a + _P] / q[a]) if sound else np.inf
            here = abs(q[a + _VX]) * rx + abs(q[a + _VY]) * ry + c * rc
            rate[lane] = here if here > rate[lane] else rate[lane]


@compiled
def march(conserved, now, place, times, result, dual, cfl, limited, free, steps):
    """Take up to `steps` time steps; returns how many lanes have not come to the last of `times` yet.

    Each lane has its own time `now`, divides what is left until its next time, number `place`, into the fewest equal
    parts that the CFL condition allows, and writes primitives to `result` [lanes, times, nodes, 4] there. Where density
    or pressure does not stay positive `place` becomes -1 and the lane rests, as it does after the last time.
    """
    q, start, change = np.empty_like(conserved), np.empty_like(conserved), np.zeros_like(conserved)
    slope, step, rate = np.empty(2 * conserved.size), np.zeros(LANES), np.empty(LANES)
    _update(conserved, conserved, change, dual.volume, 0.0, step, q)
    _fill_rates(q, dual.reach, rate)
    running = LANES
    for _ in range(steps):
        running = 0
        for lane in range(LANES):
            active = 0 <= place[lane] < times.size
            if active and not rate[lane] < np.inf:
                place[lane], active = -1, False
            left = times[place[lane]] - now[lane] if active else 0.0
            parts = max(1.0, math.ceil(left * rate[lane] / cfl)) if active else 1.0
            step[lane] = left / parts
            if active:
                now[lane] = times[place[lane]] if parts == 1.0 else now[lane] + step[lane]
            running += active
        if running == 0:
            return 0
        start[:] = conserved
        for keep in (0.0, 0.75, 1.0 / 3.0):
            _fill_slopes(q, dual.first, dual.neighbour, dual.weight, slope)
            change[:] = 0.0
            _add_faces(q, slope, dual, limited, change)
            _add_sides(q, dual, free, change)
            _update(conserved, start, change, dual.volume, keep, step, q)
        _fill_rates(q, dual.reach, rate)
        for lane in range(LANES):
            if 0 <= place[lane] < times.size and rate[lane] < np.inf and now[lane] == times[place[lane]]:
                for i in range(dual.volume.size):
                    for v in range(4):
                        result[lane, place[lane], i, v] = q[i * STATE + v * LANES + lane]
                place[lane] += 1
    return running
