"""Rates that change: a piecewise-linear intensity, and its inverse, so that any of them needs one rule.

Time rescaling (Cox and Lewis, "The Statistical Analysis of Series of Events", 1966): when u_1 < u_2 < ... are
arrivals of rate 1 and Λ(t) is the integral of λ, then Λ⁻¹(u_i) are arrivals of rate λ(t). The same u serve
every
rate: two loads are compared on common random numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtest.scenario.form import Arrivals, Closed, Constant, Gamma, OnOff, Poisson, Profile, Sine, Trace

SINE_KNOTS_PER_PERIOD = 256
"""Straight lines between so many points of a sine lie within 1e-4 of its amplitude: h²/8 with h = 2 pi /
256."""


@dataclass(frozen=True, slots=True)
class Intensity:
    """λ(t), straight lines between knots; two knots at one instant are a jump.

    Attributes:
        at_s: float64 [knots], not falling, from 0.
        rate_per_s: float64 [knots].
    """

    at_s: NDArray[np.float64]
    rate_per_s: NDArray[np.float64]

    @property
    def total(self) -> float:
        """Λ at the end: arrivals expected."""
        return float(self._cumulated()[-1])

    def inverse(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Λ⁻¹ of values in [0, total), in seconds."""
        cumulated = self._cumulated()
        # The first knot whose Λ exceeds u ends the stretch that holds it; a stretch without arrivals is
        # skipped.
        at = np.clip(np.searchsorted(cumulated, u, side="right") - 1, 0, len(cumulated) - 2)
        rest = u - cumulated[at]
        rate, width = self.rate_per_s[at], self.at_s[at + 1] - self.at_s[at]
        slope = np.divide(self.rate_per_s[at + 1] - rate, width, out=np.zeros_like(rest), where=width > 0)
        # rate * t + slope / 2 * t² = rest, in the form that has no cancellation and no division by the slope.
        root = np.sqrt(np.maximum(rate * rate + 2 * slope * rest, 0.0))
        denominator = rate + root
        t = np.divide(2 * rest, denominator, out=np.zeros_like(rest), where=denominator > 0)
        return self.at_s[at] + np.minimum(t, width)

    def _cumulated(self) -> NDArray[np.float64]:
        areas = np.diff(self.at_s) * (self.rate_per_s[1:] + self.rate_per_s[:-1]) / 2
        return np.concatenate([[0.0], np.cumsum(areas)])


def of(arrivals: Arrivals, rate_per_s: float, duration_s: float, rng: np.random.Generator) -> Intensity:
    """The intensity of an arrival process at this rate for load 1; `rng` draws the dwell times of `onoff`."""
    match arrivals:
        case Constant(load=load) | Poisson(load=load) | Gamma(load=load):
            at_s, loads = [0.0, duration_s], [load, load]
        case Profile(loads=values):
            at_s, loads = np.linspace(0.0, duration_s, len(values)).tolist(), list(values)
        case Sine(load=load, amplitude=amplitude, period_s=period_s):
            knots = max(2, math.ceil(duration_s / period_s * SINE_KNOTS_PER_PERIOD) + 1)
            at_s = np.linspace(0.0, duration_s, knots).tolist()
            loads = [load * (1 + amplitude * math.sin(2 * math.pi * t / period_s)) for t in at_s]
        case OnOff():
            at_s, loads = _on_off(arrivals, duration_s, rng)
        case Trace() | Closed():
            raise TypeError(f"{type(arrivals).__name__} has no rate")
    return Intensity(np.array(at_s), rate_per_s * np.array(loads))


def _on_off(arrivals: OnOff, duration_s: float, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    at_s, loads, now_s, state = [0.0], [arrivals.loads[0]], 0.0, 0
    while now_s < duration_s:
        now_s = min(now_s + rng.exponential(arrivals.dwell_s[state]), duration_s)
        state = (state + 1) % len(arrivals.loads)
        at_s += [now_s, now_s]
        loads += [loads[-1], arrivals.loads[state]]
    return at_s[:-1], loads[:-1]
