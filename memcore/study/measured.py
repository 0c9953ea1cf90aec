"""What a device is worth for training in place: digits, learned on its cells and then aged."""

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from memcore import _check
from memcore._text import aligned, scaled
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import Normal
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import SaturationWarning, warn
from memcore.nn.conversion import convert
from memcore.nn.verbs import age
from memcore.optim.report import TrainingReport
from memcore.registry.specs import PluginSpec, plain, plugin
from memcore.study.data import Dataset, digits
from memcore.study.in_place import InPlace, shuffled, train_in_place
from memcore.study.training import forward

#: A month in s.
MONTH: Final = 30 * 86400.0
_CPU: Final = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class TrainedDevice:
    """What digits are worth on the cells of a device; `str()` is a table.

    Args:
        device: name of the class of the device.
        set_pulse: V and s of a SET pulse, None if the device has none.
        reset_pulse: V and s of a RESET pulse, None if the device has none.
        plain: accuracy of the same network, trained as long in floating point.
        in_place: accuracy after the training on the cells.
        aged: accuracy after `seconds`.
        seconds: s that passed after the training.
        drift: mean exponent of the drift in this time.
        epochs: passes over the training set.
        seed: random seed.
        report: pulses, energy, time and wear of the training.
    """

    device: str
    set_pulse: tuple[float, float] | None
    reset_pulse: tuple[float, float] | None
    plain: float
    in_place: float
    aged: float
    seconds: float
    drift: float
    epochs: int
    seed: int
    report: TrainingReport

    @property
    def cycles(self) -> float:
        """Most write cycles of a mean cell of any matrix."""
        return max(each.cycles for each in self.report.matrices)

    def to_json(self) -> dict[str, Any]:
        """All of it in numbers and words, in SI units; accuracies are shares."""
        return {
            "device": self.device,
            "set_pulse": self.set_pulse,
            "reset_pulse": self.reset_pulse,
            "rule": self.report.rule,
            "lr": self.report.lr,
            "epochs": self.epochs,
            "seed": self.seed,
            "accuracy": {"float": self.plain, "in_place": self.in_place, "aged": self.aged},
            "age": self.seconds,
            "drift": self.drift,
            "pulses": self.report.pulses,
            "energy": self.report.energy,
            "time": self.report.time,
            "cycles": self.cycles,
            "matrices": {
                each.name: {"granularity": each.granularity, "cycles": each.cycles, **each.figures}
                for each in self.report.matrices
            },
        }

    def __str__(self) -> str:
        steps = ", ".join(f"{each.granularity:.3g}" for each in self.report.matrices)
        rows = [
            ("accuracy in floating point", f"{100 * self.plain:.1f} %"),
            ("accuracy in place", f"{100 * self.in_place:.1f} %"),
            ("accuracy aged", f"{100 * self.aged:.1f} %"),
            ("pulses", f"{self.report.pulses:,}"),
            ("energy", scaled(self.report.energy, "J")),
            ("time", scaled(self.report.time, "s")),
            ("wear", f"{self.cycles:.3g} cycles of a mean cell"),
            ("step of a weight", steps),
        ]
        head = f"{self.device}, {self.report.rule}, lr {self.report.lr:g}, {self.epochs} epochs"
        return "\n".join([head, *aligned(rows), *self._assumed()])

    def _assumed(self) -> list[str]:
        """What the figures rest on beside the device."""
        pulses = ", ".join(
            "unknown" if each is None else f"{each[0]:g} V for {scaled(each[1], 's')}"
            for each in (self.set_pulse, self.reset_pulse)
        )
        aged = f"aged {self.seconds:.3g} s, conductances drift with exponents of {self.drift:g}"
        return [f"pulses of {pulses}", f"{aged} +- {self.drift / 2:g}"]


def train_device(
    device: Memristor | PluginSpec,
    *,
    rule: PluginSpec = "sgd_pulsed",
    lr: float = 0.1,
    epochs: int = 10,
    batch: int = 32,
    seed: int = 0,
    seconds: float = MONTH,
    drift: float = 0.1,
) -> TrainedDevice:
    """Learn handwritten digits on the cells of a device, and let them age.

    A network of 64, 64 and 10 neurons is trained on 1297 digits of 8 x 8 pixels, in floating point
    and by pulses on pairs of cells, from the same weights; 500 other digits are judged. Then
    conductances drift, `G (1 + t / 20 s)^-nu`, with an exponent of its own for each cell.

    Args:
        device: a device with pulses: one that was fitted or measured, a name, a mapping or a device
            file.
        rule: how inputs and errors become pulses: a name of `memcore.updates`, a mapping or an
            instance.
        lr: learning rate.
        epochs: number of passes over the training set.
        batch: number of samples in a step.
        seed: random seed of the weights, of the cells and of the pulses.
        seconds: s that pass after the training.
        drift: mean exponent of the drift, half of which is its standard deviation between cells;
            0.1 is that of phase-change memory (Joshi et al., Nat. Commun. 11:2473, 2020), 0 for
            none. Pulses do not tell it: measure it.

    Raises:
        ConfigError: the device has no pulses, or a number does not fit.

    Warns:
        SaturationWarning: the rate is so high that trains are clipped, or that a network diverges.
    """
    require_training(rule=rule, lr=lr, epochs=epochs, seed=seed, seconds=seconds, drift=drift)
    batch = _check.integer("batch", batch, at_least=1)
    nu = Normal(drift, drift / 2, min=0.0) if drift else 0.0
    effects = [{"name": "drift", "nu": nu}] if drift else []
    config = CrossbarConfig(device=device, mapper="differential", nonidealities=effects)
    recipe = InPlace(rule=plain(rule), lr=lr, epochs=epochs, batch=batch)
    dataset = digits()
    blank = _blank(seed)
    chip = convert(blank, config, seed=seed)
    report = train_in_place(chip, dataset, recipe, seed).report()
    in_place = _accuracy(chip, dataset, "in place")
    if seconds and drift:
        age(chip, seconds=seconds)
    cell = config.device
    return TrainedDevice(
        device=type(cell).__name__,
        set_pulse=cell.set_pulse,
        reset_pulse=cell.reset_pulse,
        plain=_plain(blank, dataset, recipe, seed),
        in_place=in_place,
        aged=_accuracy(chip, dataset, "after ageing"),
        seconds=seconds,
        drift=drift,
        epochs=epochs,
        seed=seed,
        report=report,
    )


def require_training(
    *, rule: PluginSpec, lr: float, epochs: int, seed: int, seconds: float, drift: float
) -> None:
    """Refuse what no device can be trained with, as `train_device` does, before one is measured.

    Args:
        rule: update rule.
        lr: learning rate.
        epochs: number of passes over the training set.
        seed: random seed.
        seconds: s that pass after the training.
        drift: mean exponent of the drift.

    Raises:
        ConfigError: a number does not fit, or there is no such rule.
    """
    after = "the age of the cells, in s after the training"
    _check.number("seconds", seconds, at_least=0, remedy=after)
    _check.number("drift", drift, at_least=0, remedy="0 for none, 0.1 as in phase-change memory")
    _check.number("lr", lr, above=0, remedy="0.1 and 0.3 suit many devices")
    _check.integer("epochs", epochs, at_least=1)
    _check.integer("seed", seed)
    plugin("updates", plain(rule))


def _blank(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).eval()


def _plain(model: nn.Module, dataset: Dataset, recipe: InPlace, seed: int) -> float:
    """Accuracy of the digital network after as many steps; the network is trained."""
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr)
    for epoch in range(recipe.epochs):
        for images, labels in shuffled(dataset, recipe.batch, seed, epoch):
            optimizer.zero_grad()
            outputs = forward(model, dataset, images, _CPU)
            nn.functional.cross_entropy(outputs, labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return _accuracy(model, dataset, "in floating point")


@torch.no_grad()
def _accuracy(model: nn.Module, dataset: Dataset, where: str) -> float:
    outputs = forward(model, dataset, dataset.test.images, _CPU)
    if not bool(outputs.isfinite().all()):
        warn(
            f"the network {where} diverged: its outputs are no finite numbers, and its accuracy "
            "is that of chance; expected a lower lr",
            SaturationWarning,
        )
    return float((outputs.argmax(1) == dataset.test.labels).float().mean())
