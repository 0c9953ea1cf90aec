"""Several arrays for one matrix, each finer than the one before, which learns what it leaves."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import ConfigError, Context, PulsedWeights, Stream, parameter
from memcore.optim import Pulser
from memcore_plugins.updates._buffer import BufferedRule, BufferedTransfer


@dataclass(frozen=True, kw_only=True)
class Residual(BufferedRule):
    """The network reads the sum of several arrays, each weaker than the one before by `share`.

        W = W_0 + share W_1 + share^2 W_2 + ...

    A weaker array learns what the steps of the stronger ones are too coarse for. Pulse trains reach
    the weakest one, at a rate with which the sum goes down the gradient at `lr`. Where its columns
    show more than `carry_from` steps of the array before it, that one gets the steps, and the
    weaker one gives them back, so that the sum stays what it is; and so on, rarer from array to
    array. In the first `warm` vectors the strongest array learns alone. An array hands nothing on
    if its window, times `share`, is narrower than `carry_from` steps.

    With `carry=0` what columns show is added up as in `tiki_taka2`, trains have the rate `lr`, and
    the weaker array keeps what it has. Then the two are a spring: where no pull of the cells lets
    the weaker array forget, as on even steps, the sum overshoots unless `transfer_lr` is small,
    below about a quarter of `share^2` times the number of inputs and the curvature of the loss.

    For cells with few states. Li, Wu, Liu, Gokmen and Chen, "In-memory training on analog devices
    with limited conductance states via multi-tile residual learning" (2025), arXiv:2510.02516;
    Wu et al., NeurIPS (2025), arXiv:2502.06309; their transfer is that with `carry=0`. To carry:
    Agarwal et al., "Achieving ideal accuracies in analog neuromorphic computing using periodic
    carry", VLSI Technology (2017).
    """

    tiles: int = parameter(2, "1", "arrays of a matrix", within=(2, 8))
    share: float = parameter(
        0.25, "1", "weight of an array relative to the one before it", above=0, below=1
    )
    slower: int = parameter(
        4, "1", "vectors between two transfers, relative to the array behind", at_least=1
    )
    warm: int = parameter(
        0, "1", "vectors from which the strongest array learns alone, to begin with", at_least=0
    )
    carry: float = parameter(
        0.2,
        "1",
        "share of what a read shows in the mean that decides of a carry; 0 adds up without carries",
        within=(0, 1),
    )
    carry_from: float = parameter(
        0.6, "1", "steps of the stronger array from which on they are carried", above=0.5
    )
    longest: int = parameter(31, "1", "most slots of a train", within=(1, 10_000))
    transfer_lr: float = parameter(
        0.5, "1", "rate of the transfers without carries, relative to the learning rate", above=0
    )
    momentum: float = parameter(
        0.0, "1", "share of the buffer that is kept where a pulse was sent", within=(0, 1)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.carry and not self.forget:
            raise ConfigError(
                f"forget=False came with carry={self.carry!r}; expected carry=0, which adds up "
                "what columns show, or forget=True: a carry takes off what it sends"
            )

    @property
    def arrays(self) -> int:  # type: ignore[override]
        return self.tiles

    @property
    def shares(self) -> tuple[float, ...]:
        return tuple(self.share**n for n in reversed(range(self.tiles)))

    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        return _Trainer(self, weights, ctx)


class _Link(BufferedTransfer):
    """From one array to the one before it."""

    def __init__(self, rule: Residual, weights: tuple[PulsedWeights, ...], stream: Stream) -> None:
        super().__init__(rule, weights, stream)
        self._rule = rule

    def transfer(self, lines: slice, v: Tensor, lr: float) -> None:
        if self._rule.carry:
            self._carry(lines, v)
            return
        self.collect(lines, v, lr)
        self.send(lines)

    def _carry(self, lines: slice, v: Tensor) -> None:
        """Whole steps of the stronger array go there, and as much comes off the weaker one."""
        rule, at = self._rule, self.lines.at(lines)
        # Of the stronger array, in the weaker one's weights.
        step = self.slow.granularity / rule.share
        hidden = self.hidden[at].lerp_(v / step, rule.carry)
        count = (hidden.abs() - rule.carry_from).ceil().clamp(0, self._most) * hidden.sign()
        hidden.sub_(count)
        self.pulse_lines(lines, count)
        back = torch.zeros(self.fast.shape, device=count.device)
        back[at] = (count * (step / self.fast.granularity)).round()
        slots = self.lines.slots(back)
        self.fast.pulse((-back).clamp(min=0), back.clamp(min=0), slots=slots)


class _Trainer(nn.Module):
    vectors: Tensor

    def __init__(self, rule: Residual, weights: tuple[PulsedWeights, ...], ctx: Context) -> None:
        super().__init__()
        self._warm = rule.warm
        # What is carried moves no sum: the weakest array alone goes down the gradient.
        self._boost = rule.share ** (1 - rule.tiles) if rule.carry else 1.0
        self.register_buffer("vectors", torch.zeros((), dtype=torch.int64, device="cpu"))
        self.coarse = Pulser(weights[-1], ctx.random.child("coarse"), longest=rule.longest)
        self._chain = [
            _Link(
                dataclasses.replace(rule, every=rule.every * rule.slower**n),
                weights[n : n + 2],
                ctx.random.child("link", n),
            )
            for n in range(rule.tiles - 1)
        ]
        self.links = nn.ModuleList(self._chain)

    def forward(self, x: Tensor, d: Tensor, lr: float) -> None:
        """Pulse the strongest array, or the weakest one and pass on what it has learned."""
        first, warm = int(self.vectors), max(0, self._warm - int(self.vectors))
        self.vectors.add_(len(x))
        if len(x[:warm]):
            self.coarse(x[:warm], d[:warm], lr, first)
        x, d = x[warm:], d[warm:]
        if not len(x):
            return
        finest = self._chain[0]
        finest.update(x, d, lr * self._boost, int(finest.vectors))
        for link in self._chain:
            link.advance(len(x), lr)

    def figures(self) -> dict[str, float]:
        """Numbers for a report: the first array's trains, and what went from array to array."""
        finest, *others = (link.figures() for link in self._chain)
        finest["additions"] = sum(link.additions for link in self._chain)
        for number, each in enumerate(others, 2):
            for name in ("transfers", "pulses a transfer"):
                if name in each:
                    finest[f"{name}, step {number}"] = each[name]
        return finest
