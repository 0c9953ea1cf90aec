"""`compress`: passes of compression one after another, with the training that they want."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore import _check
from memcore._text import shown
from memcore.compression.sizes import CompressionReport, sizes
from memcore.contracts.compression import CompressionPass
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.lane import sequence
from memcore.errors import ArgumentTypeError, ConfigError, MemcoreError
from memcore.nn.feeding import again
from memcore.nn.verbs import evaluating
from memcore.nn.walk import require_module
from memcore.registry.specs import PluginSpec, plugin, provided_name

Loss = Callable[[Any, Any], Tensor]
Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def compress(
    model: nn.Module,
    config: CrossbarConfig,
    passes: Sequence[PluginSpec],
    loader: Iterable[Any] | None = None,
    *,
    loss: Loss = F.cross_entropy,
    optimizer: Optimizer | None = None,
    distil: float = 0.0,
) -> tuple[nn.Module, CompressionReport]:
    """A smaller copy of a trained network that fits the arrays of a configuration better.

    Passes act in the order given, each trained for the epochs that it names; nothing is trained if
    none names any. With a training loop of your own call the methods of a pass yourself.

    Args:
        model: a digital network.
        config: the arrays: their shape, the mapping, the states of cells.
        passes: names of `memcore.compressions`, mappings or instances.
        loader: batches (inputs, targets) of the training set, read once for each epoch.
        loss: `loss(outputs, targets)` of a batch.
        optimizer: from parameters to a new optimiser; Adam with a learning rate of 1e-3 by default.
        distil: share of the loss that asks for the outputs of the network before instead of the
            targets, as a Kullback-Leibler divergence of their softmax.

    Returns:
        The smaller network, and what each of its layers needs before and after.

    Raises:
        ConfigError: an argument does not fit, or a pass that trains has no loader.
        ConversionError: the network has no layer to compress, or a pass cannot follow it.

    Examples:
        >>> network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
        >>> config = memcore.CrossbarConfig(device="ideal", tile=(4, 4))
        >>> passes = [{"name": "admm", "keep": 0.5, "epochs": 0}, "remove_unused"]
        >>> smaller, report = memcore.compress(network, config, passes)
        >>> report.arrays
        (12, 4)
    """
    chosen = [plugin("compressions", spec) for spec in sequence("passes", passes)]
    share = _share("distil", distil)
    if not isinstance(config, CrossbarConfig):
        raise ConfigError(f"config={shown(config)}; expected a memcore.CrossbarConfig")
    _require_training(loader, loss, optimizer)
    before = sizes(require_module(model), config)
    batches = None if loader is None else again(loader)
    teacher = copy.deepcopy(model).eval() if share else None
    run = _Run(config, batches, loss, optimizer or _adam, teacher, share)
    smaller = copy.deepcopy(model)
    for each in chosen:
        smaller = run.passed(each, smaller)
    after = sizes(smaller, config) if _has_layers(smaller) else {}
    return smaller, CompressionReport(
        before=before, after=after, notes=tuple(run.notes), log=tuple(run.log)
    )


def _share(name: str, value: Any) -> float:
    """The argument as a number from 0 to 1."""
    share = _check.number(name, value, at_least=0)
    if share > 1:
        raise ConfigError(f"{name}={share:g}; expected a share from 0 to 1")
    return share


def _require_training(loader: Any, loss: Any, optimizer: Any) -> None:
    """Refuse what no training is made of, before anything is trained."""
    if loader is not None and not isinstance(loader, Iterable):
        raise ArgumentTypeError(
            f"loader={shown(loader)}; expected batches (inputs, targets), a DataLoader for instance"
        )
    if not callable(loss):
        raise ArgumentTypeError(f"loss={shown(loss)}; expected a function (outputs, targets)")
    if optimizer is not None and not callable(optimizer):
        raise ArgumentTypeError(
            f"optimizer={shown(optimizer)}; expected a function from parameters to an optimiser, "
            "torch.optim.SGD with functools.partial for instance"
        )


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        what = f"{len(batch)} parts" if isinstance(batch, tuple | list) else type(batch).__name__
        raise ConfigError(f"a batch of the loader is {what}; expected (inputs, targets)")
    return batch[0], batch[1]


def _adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)


def _has_layers(model: nn.Module) -> bool:
    return any(
        isinstance(m, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) for m in model.modules()
    )


class _Run:
    """What all passes of one call share, and what they said."""

    def __init__(
        self,
        config: CrossbarConfig,
        batches: Any,
        loss: Loss,
        optimizer: Optimizer,
        teacher: nn.Module | None,
        distil: float,
    ) -> None:
        self.config, self.batches, self.loss = config, batches, loss
        self.optimizer, self.teacher, self.distil = optimizer, teacher, distil
        self.notes: list[tuple[str, str, str]] = []
        self.log: list[tuple[str, int, dict[str, float]]] = []

    def passed(self, each: CompressionPass, model: nn.Module) -> nn.Module:
        """What a pass makes of a network, which may change."""
        name = provided_name(each)
        state = each.prepare(model, self.config, self.batches)
        if each.epochs:
            drawn = partial(each.penalty, model, state)
            for epoch, mean in enumerate(self._epochs(name, model, each.epochs, penalty=drawn)):
                self.log.append((name, epoch, {"loss": mean, **each.update(model, state)}))
        with evaluating(model):
            done = each.finalize(model, state)
        self.notes += [(name, layer, text) for layer, text in done.notes.items()]
        if each.retraining:
            held = partial(each.hold, done.model, state)
            for _ in self._epochs(name, done.model, each.retraining, hold=held):
                pass
        return done.model

    def _epochs(
        self,
        name: str,
        model: nn.Module,
        count: int,
        *,
        penalty: Callable[[], Tensor | None] = lambda: None,
        hold: Callable[[], None] = lambda: None,
    ) -> Iterator[float]:
        """Train, and give the mean loss after each epoch."""
        if self.batches is None:
            raise ConfigError(
                f"{name} trains for {count} epochs, but there is no loader; expected batches of "
                "(inputs, targets): memcore.compress(model, config, passes, loader)"
            )
        modes = {module: module.training for module in model.modules()}
        optimizer = self.optimizer([p for p in model.parameters() if p.requires_grad])
        for _ in range(count):
            model.train()
            total, steps = 0.0, 0
            for batch in self.batches:
                loss = self._loss(model, *_pair(batch))
                added = penalty()
                optimizer.zero_grad()
                (loss if added is None else loss + added).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                hold()
                total, steps = total + float(loss.detach()), steps + 1
            if not steps:
                raise ConfigError("the loader has no batches; expected (inputs, targets)")
            yield total / steps
        for module, training in modes.items():
            module.training = training

    def _loss(self, model: nn.Module, inputs: Any, targets: Any) -> Tensor:
        try:
            outputs = model(inputs)
            loss = self.loss(outputs, targets)
        except (RuntimeError, ValueError, TypeError) as error:
            if isinstance(error, MemcoreError):
                raise
            raise ConfigError(
                f"the network cannot be trained on a batch of the loader: {error}; expected inputs "
                "that it takes, and targets that the loss takes"
            ) from error
        if self.teacher is None:
            return loss
        with torch.no_grad():
            wanted = F.log_softmax(self.teacher(inputs), -1)
        apart = F.kl_div(F.log_softmax(outputs, -1), wanted, reduction="batchmean", log_target=True)
        return (1 - self.distil) * loss + self.distil * apart
