"""Arrays that a chip has no room for: they pass through its last array, written in every run."""

from collections.abc import Sequence

from memcore import Activity, ArrayInfo, Charge, Component, LayerWork


def room(layer: LayerWork, limit: int | None) -> tuple[int, int]:
    """Arrays of the chip that are a layer's, and writings of arrays that do not fit.

    Layers fill the chip in their order. What is beyond passes through the last array of the chip,
    one array after another, so that all others keep their weights from run to run.
    """
    assert layer.array is not None
    own = layer.array.arrays
    counts = {each.name: each.array.arrays for each in layer.network if each.array is not None}
    counts.setdefault(layer.name, own)
    if limit is None or sum(counts.values()) <= limit:
        return own, 0
    before = 0
    for name, count in counts.items():
        if name == layer.name:
            break
        before += count
    resident = min(own, max(0, limit - before))
    return resident, min(own, max(0, before + own - (limit - 1)))


def reload(layer: LayerWork, writings: int, cells: Sequence[Component]) -> Charge:
    """What writing so many arrays of a layer, the last ones, takes: what its programmer reported.

    Where that reported neither energy nor time, a cell takes what the tables say.

    Args:
        layer: layer on simulated arrays.
        writings: arrays that are written.
        cells: writing of a cell of each kind, one for each lane with cells of its own.
    """
    assert layer.array is not None
    kinds = layer.array.lanes or (layer.array,)
    works = layer.writing_of_lanes if layer.array.lanes else (layer.writing,)
    charges = []
    for kind, work, cell in reversed([*zip(kinds, works, cells, strict=True)]):
        some = min(writings, kind.arrays)
        writings -= some
        if some:
            charges.append(_reload(kind, work, some, cell))
    return Charge(
        energy=sum(each.energy for each in charges),
        time=sum(each.time for each in charges),
        source=", ".join(dict.fromkeys(each.source for each in reversed(charges))),
    )


def _reload(array: ArrayInfo, written: Activity, writings: int, cell: Component) -> Charge:
    """Of arrays whose cells are alike."""
    share = writings / array.arrays
    energy, time, source = written.programming_energy, written.programming_time, "simulated pulses"
    if not (energy or time):
        cells = array.arrays * array.rows * array.cols
        energy, time = cells * cell.need("energy_of_use"), cells * cell.need("latency")
        source = cell.source
    return Charge(energy=share * energy, time=share * time, source=source)
