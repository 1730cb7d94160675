"""Noise that is correlated in time."""

from __future__ import annotations

import numpy as np


def coloured(white: np.ndarray, exponent: float) -> np.ndarray:
    """Gaussian noise whose power grows as f^-beta towards low frequencies f (Timmer & Koenig 1995;
    for policy gradients Hollenstein et al. 2024, 2312.11091).

    white: (2T, ...), independent standard normal; exponent: beta, 0 is white and 1 pink noise.
    Returns (T, ...) of the same type, each of them standard normal by itself. The filter works on a
    circle, of which half is thrown away: the end knows nothing of the beginning.
    """
    length = len(white)
    frequencies = np.maximum(np.arange(length // 2 + 1), 1)  # the mean counts as the lowest one
    gains = frequencies ** (-exponent / 2.0)
    both = 2.0 * (gains**2).sum() - gains[0] ** 2 - gains[-1] ** 2  # the others stand for two
    gains *= np.sqrt(length / both)
    spectrum = np.fft.rfft(white, axis=0)
    spectrum *= gains.reshape(-1, *[1] * (white.ndim - 1))
    return np.fft.irfft(spectrum, length, axis=0)[: length // 2].astype(white.dtype)
