"""Losses that correctors are trained with."""

from irno_graph.losses.chebyshev import ChebyshevSpectralLoss, weight_polynomials
from irno_graph.losses.fft import FFTSpectralLoss
from irno_graph.losses.refinement import LossTerms, RefinementLoss
from irno_graph.losses.spectral import (
    SpectralLoss,
    Spectrum,
    coefficient_distance,
    magnitude_distance,
    spectrum,
)
from irno_graph.losses.sphere import SphereSpectralLoss
from irno_graph.losses.wavelet import BandFilterLoss

__all__ = [
    "BandFilterLoss",
    "ChebyshevSpectralLoss",
    "FFTSpectralLoss",
    "LossTerms",
    "RefinementLoss",
    "SpectralLoss",
    "Spectrum",
    "SphereSpectralLoss",
    "coefficient_distance",
    "magnitude_distance",
    "spectrum",
    "weight_polynomials",
]
