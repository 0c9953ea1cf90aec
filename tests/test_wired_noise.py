"""Noise of single cells behind wires, against the matrix solved anew for every draw."""

import pytest
import torch

from memcore import Crossbar, Stream, Wires, effective_conductance
from memcore.crossbar.effects import sensitivity

LINES, DRAWS, NOISE = 16, 400, 0.1
G = 10 ** -(4 + 2 * Stream(0).uniform((LINES, LINES)).double())  # 10 kiloohm to 1 megaohm
DRAWN = NOISE * G * Stream(1).normal((DRAWS, LINES, LINES)).double()
UNIFORM = Stream(2).uniform((LINES,)).double()
INPUTS = {
    "equal": torch.full((LINES,), 0.2).double(),
    "positive": 0.2 * UNIFORM,
    "signed": 0.4 * UNIFORM - 0.2,
}


def spread(current, mean):
    """Standard deviation, over the draws and all outputs."""
    return float((current - mean).square().mean().sqrt())


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("segment", [1.0, 10.0])
def test_noise_behind_wires_is_that_of_the_circuit_up_to_what_wires_take(segment, inputs):
    """With the same draws on both sides, so that they differ by the approximation alone."""
    v, wires = INPUTS[inputs], Wires(word_line=segment, bit_line=segment)
    a = effective_conductance(G, wires)
    lost = 1 - float(a.sum() / G.sum())
    first = torch.einsum("r,nrc->nc", v, a + DRAWN * sensitivity(a, G))
    exact = torch.einsum("r,nrc->nc", v, effective_conductance(G + DRAWN, wires))
    missing = 1 - spread(first, v @ a) / spread(exact, v @ a)
    assert 0 < missing < lost
    assert missing < 0.5 * lost or inputs == "signed"
    # The mean shifts by curvature alone: of second order in the noise, and of first in the loss.
    # What is left of the sampling error is that of the difference.
    difference = exact - first
    shift, error = difference.mean(0).abs(), difference.std(0) / DRAWS**0.5
    assert bool((shift < NOISE**2 * lost * (v.abs() @ G) + 4 * error).all())


@pytest.mark.parametrize("inputs", INPUTS)
def test_reads_have_the_mean_and_the_noise_of_circuits_with_other_draws(inputs):
    v, wires = INPUTS[inputs], Wires(word_line=10.0, bit_line=10.0)
    effects = [{"name": "read_noise", "relative": NOISE}, {"name": "ir_drop", "segment": 10.0}]
    read = Crossbar(G, nonidealities=effects, seed=3) @ v.expand(DRAWS, LINES)
    exact = torch.einsum("r,nrc->nc", v, effective_conductance(G + DRAWN, wires))
    a = effective_conductance(G, wires)
    lost = 1 - float(a.sum() / G.sum())
    sampled = (1 / (DRAWS * LINES)) ** 0.5  # of the ratio of two standard deviations
    ratio = spread(read, v @ a) / spread(exact, v @ a)
    assert 1 - lost - 4 * sampled < ratio < 1 + 4 * sampled
    error = (read.var(0) / DRAWS + exact.var(0) / DRAWS).sqrt()
    assert bool(((read.mean(0) - exact.mean(0)).abs() < 4 * error).all())
