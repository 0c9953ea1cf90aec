"""`architecture`: the arrays behind a cost report, as a chip that AccelForge reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from memcore._version import __version__
from memcore.contracts.array import ArrayInfo
from memcore.contracts.cost import Activity, Charge, LayerWork
from memcore.errors import ConfigError

_BUFFER: Final = "buffer"  #: the component that holds inputs and outputs
_INPUTS: Final = (
    "dac",
)  #: components that inputs pass on their way to the cells; sums pass others
_CELLS: Final = ("cells", "arrays")  #: components that multiply
_WRITING: Final = ("programming", "reload")  #: what is no part of a read


@dataclass(frozen=True, kw_only=True)
class _Node:
    """A node of the architecture; energies in J, latencies in s, area of one in m^2."""

    tag: str
    name: str
    fields: tuple[str, ...] = ()
    area: float = 0.0
    source: str = ""
    actions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    value: str = ""  #: tensor of which one action moves a value

    def lines(self) -> Iterator[str]:
        yield f"  - !{self.tag}" + (f"  # {self.source}" if self.source else "")
        yield f"    name: {self.name}"
        yield from (f"    {each}" for each in self.fields)
        if self.tag == "Container":
            return
        yield f"    area: {_number(self.area)}"
        yield "    leak_power: 0"
        yield "    actions:"
        moved = f", bits_per_action: {self.value}.bits_per_value" if self.value else ""
        for name, (energy, latency) in self.actions.items():
            costs = f"energy: {_number(energy)}, latency: {_number(latency)}"
            yield f"    - {{name: {name}, {costs}{moved}}}"


def _number(value: float) -> str:
    """A number that is one in each version of YAML: with a point and a sign of its exponent."""
    return f"{value:.12e}" if value else "0"


def architecture(
    model: str, works: Sequence[LayerWork], components: Mapping[str, Charge], written: Activity
) -> str:
    """The arrays behind a report as `arch` of AccelForge, in YAML and SI units.

    All arrays are as large as the largest one, and each cell stands for all cells of a weight. An
    action costs the mean over all layers: one of a converter stands for all conversions of an
    input, or of one sum on the bit lines of an array; one of the cells for one product.

    Args:
        model: name of the cost model.
        works: the layers with what their arrays did.
        components: what each component costs in all layers.
        written: what writing all cells took.

    Raises:
        ConfigError: the report is not about simulated arrays.
    """
    arrays = [work.array for work in works if work.array is not None]
    if len(arrays) < len(works):
        raise ConfigError(
            f"cost model {model!r} prices a system and not the simulated arrays that an "
            'architecture is made of; expected model="components"'
        )
    parts = {name: each for name, each in components.items() if name not in _WRITING}
    units = sum(array.arrays // array.parts for array in arrays)
    head = f"# memcore {__version__}, cost model {model!r}, in J, s and m^2"
    nodes = [
        *_buffers(parts, works, arrays),
        _Node(tag="Container", name="array", fields=_spread(f"{{name: arrays, fanout: {units}}}")),
        *_converters(parts, works, arrays, units),
        *_cells(parts, works, arrays, written),
    ]
    lines = [line for node in nodes for line in node.lines()]
    return "\n".join([head, "arch:", "  nodes:", *lines, ""])


def _spread(*dimensions: str) -> tuple[str, ...]:
    return ("spatial:", *(f"- {each}" for each in dimensions))


def _inputs(works: Sequence[LayerWork]) -> int:
    return sum(work.vectors * work.groups * work.rows for work in works)


def _sums(works: Sequence[LayerWork], arrays: Sequence[ArrayInfo]) -> int:
    """Sums on the bit lines of one array, those of all parts of a weight together."""
    pairs = zip(works, arrays, strict=True)
    return sum(w.vectors * w.groups * w.cols * -(-w.rows // a.rows) for w, a in pairs)


def _buffers(
    parts: Mapping[str, Charge], works: Sequence[LayerWork], arrays: Sequence[ArrayInfo]
) -> Iterator[_Node]:
    if _BUFFER in parts:
        charge = parts[_BUFFER]
        each = charge.energy / (_inputs(works) + _sums(works, arrays))
        yield _Node(
            tag="Memory",
            name=_BUFFER,
            fields=("size: inf", "tensors: {keep: input | output}"),
            area=charge.area,
            source=charge.source,
            actions={"read": (each, 0.0), "write": (each, 0.0)},
            value="input",
        )


def _converters(
    parts: Mapping[str, Charge],
    works: Sequence[LayerWork],
    arrays: Sequence[ArrayInfo],
    units: int,
) -> Iterator[_Node]:
    """What inputs and sums of an array pass, the nearest to the cells last."""
    for name, charge in reversed(list(parts.items())):
        if name != _BUFFER and name not in _CELLS:
            given = name in _INPUTS
            count = _inputs(works) if given else _sums(works, arrays)
            moved, direction = ("input", "down") if given else ("output", "up")
            yield _Node(
                tag="Toll",
                name=name,
                fields=(f"direction: {direction}", f"tensors: {{keep: {moved}}}"),
                area=charge.area / units,
                source=charge.source,
                actions={"read": (charge.energy / count, charge.time * units / count)},
                value=moved,
            )


def _cells(
    parts: Mapping[str, Charge],
    works: Sequence[LayerWork],
    arrays: Sequence[ArrayInfo],
    written: Activity,
) -> Iterator[_Node]:
    rows, cols = max(array.rows for array in arrays), max(array.cols for array in arrays)
    weights = sum(a.arrays // a.parts for a in arrays) * rows * cols
    cells = [charge for name, charge in parts.items() if name in _CELLS]
    energy, time = sum(each.energy for each in cells), sum(each.time for each in cells)
    held = max(1, sum(work.groups * work.rows * work.cols for work in works))
    dimensions = (
        f"{{name: columns, fanout: {cols}, may_reuse: input}}",
        f"{{name: rows, fanout: {rows}, reuse: output}}",
    )
    yield _Node(tag="Container", name="cell", fields=_spread(*dimensions))
    yield _Node(
        tag="Memory",
        name="weights",
        fields=("size: weight.bits_per_value", "tensors: {keep: weight}"),
        area=sum(each.area for each in cells) / weights,
        source=", ".join(dict.fromkeys(each.source for each in cells if each.source)),
        actions={
            "read": (
                energy / sum(work.macs for work in works),
                time / sum(work.vectors for work in works),
            ),
            "write": (written.programming_energy / held, written.programming_time / held),
        },
        value="weight",
    )
    yield _Node(tag="Compute", name="product", actions={"compute": (0.0, 0.0)})
