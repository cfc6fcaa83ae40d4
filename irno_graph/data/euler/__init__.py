"""Compressible Euler equations on a periodic rectangle: initial data, solver, sampling."""

GAMMA = 1.4
