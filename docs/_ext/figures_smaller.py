"""Figures of networks that are sensed, looked up and pruned, beside published figures."""

from collections.abc import Callable
from typing import Any, Final

from figures_style import COLOURS, CROSSES, legend

import memcore
from memcore import LogNormal

#: Rows, ratio of resistances, sigma of ln R: P(correct) by Monte Carlo, 4e5 samples for each.
DRAWN: Final = {
    (9, 10, 0.2): (1.0, 0.9582, 0.8736, 0.7905, 0.7219, 0.6686, 0.6218, 0.5872, 0.5541, 0.8482),
    (9, 50, 0.5): (1.0, 0.7005, 0.4978, 0.4029, 0.3428, 0.2991, 0.2674, 0.2401, 0.2202, 0.8275),
    (4, 10, 0.1): (1.0, 0.9999, 0.9973, 0.9887, 0.9928),
}


def sensing(figure: Any) -> None:
    """How likely each sum is told right, and what ratio and spread change about it."""
    left, right = figure.subplots(1, 2, sharey=True)
    for ((rows, ratio, sigma), drawn), colour in zip(DRAWN.items(), COLOURS, strict=False):
        correct = _correct(rows, ratio, sigma)
        left.plot(correct, color=colour, label=f"{rows} rows, ratio {ratio}, {sigma}")
        left.plot(drawn, **CROSSES)
    left.plot([], [], label="Monte Carlo", **CROSSES)
    left.set_title("by the table and by Monte Carlo")
    left.set_ylabel("probability that a sum is told right")
    changes = {(10, 0.2): "ratio 10, 0.2", (50, 0.2): "ratio 50, 0.2", (10, 0.1): "ratio 10, 0.1"}
    for ((ratio, sigma), label), colour in zip(changes.items(), COLOURS, strict=False):
        right.plot(_correct(9, ratio, sigma), color=colour, label=label)
    right.set_title("half the spread, or five times the ratio")
    for axes in (left, right):
        axes.set_ylim(0, 1.05)
        axes.set_xlabel("sum")
        legend(axes, loc="lower left")


def _correct(rows: int, ratio: float, sigma: float) -> Any:
    cell = memcore.devices["ideal"](r_on=1e4, r_off=1e4 * ratio)
    return memcore.sensing_table(cell, rows=rows, spread=LogNormal(1.0, sigma)).correct()


#: Percentage points that the digits network of tests/systems gains by codebooks of so many weights
#: and inputs each, without training; seeds 0, 1 and 2.
ENTRIES: Final = (4, 8, 16, 32, 64)
LOOKED_UP: Final = (
    (-5.0, -1.0, 0.4, 0.2, -0.2),
    (-10.4, -1.6, -0.4, -0.2, -0.2),
    (-7.6, -0.4, 0.2, 0.0, 0.0),
)
#: Fewer weights and percentage points gained: published ones by network and paper.
PRUNED: Final = {
    "LeNet-5, MNIST (Yuan)": ((17.69, 0.0), (105.52, -1.0)),
    "ConvNet, CIFAR-10 (Yuan)": ((2.35, -1.0), (5.88, -2.0)),
    "VGG-16, CIFAR-10 (Yuan)": ((9.31, -0.1), (29.81, -0.5)),
    "ResNet-18, CIFAR-10 (Yuan)": ((11.75, -0.5), (20.88, -0.76)),
}
#: The digits network of tests/systems, means of seeds 0 and 1, 36 epochs after the first training.
FEWER: Final = (3.41, 5.75, 8.31, 14.03)
DIGITS: Final = {
    "admm": (-1.8, -3.3, -4.3, -8.4),
    "trained on, then cut at once": (-2.3, -7.5, -13.3, -37.1),
}


def codebook(figure: Any) -> None:
    """What codebooks of few entries cost a small network of digits."""
    axes = figure.subplots()
    for seed, (gains, colour) in enumerate(zip(LOOKED_UP, COLOURS, strict=False)):
        axes.semilogx(ENTRIES, gains, marker="o", color=colour, label=f"digits, seed {seed}")
    axes.axhline(-0.3, color="black", linestyle="--", linewidth=1, label="published: less than 0.3")
    axes.set_xticks(ENTRIES, [str(n) for n in ENTRIES])
    axes.minorticks_off()
    axes.set_xlabel("entries of weights, and of inputs")
    axes.set_ylabel("accuracy gained (points)")
    legend(axes, loc="lower right")


def compression(figure: Any) -> None:
    """Accuracy against the weights that are left, here and as published."""
    axes = figure.subplots()
    for (name, points), colour in zip(PRUNED.items(), COLOURS, strict=True):
        ratios, gains = zip(*points, strict=True)
        axes.semilogx(ratios, gains, marker="x", color=colour, label=name)
    for (name, here), line in zip(DIGITS.items(), ("-", ":"), strict=True):
        axes.semilogx(FEWER, here, line, marker=".", color="black", label=f"digits here, {name}")
    axes.set_ylim(-14.5, 1)
    axes.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    axes.minorticks_off()
    axes.set_xlabel("times fewer weights")
    axes.set_ylabel("accuracy gained (points)")
    legend(axes, loc="lower right")


SMALLER: Final[dict[str, tuple[Callable[[Any], None], float]]] = {
    "sensing": (sensing, 3.4),
    "codebook": (codebook, 3.0),
    "compression": (compression, 3.6),
}
