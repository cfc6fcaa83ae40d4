"""Experiments: from a description to objects, a run and its figures."""
