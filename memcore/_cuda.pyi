"""As _cpu, with the device index and the stream; see native/include/memcore/kernels.h."""

def philox_uniform(
    reads: int, n_reads: int, elements: int, size: int, key: int, out: int, device: int, stream: int
) -> None: ...
def philox_normal(
    reads: int, n_reads: int, elements: int, size: int, key: int, out: int, device: int, stream: int
) -> None: ...
def philox_bernoulli(
    reads: int,
    n_reads: int,
    elements: int,
    size: int,
    key: int,
    p: float,
    out: int,
    device: int,
    stream: int,
) -> None: ...
def quantize_uniform(
    x: int,
    count: int,
    step: int,
    cols: int,
    lo: float,
    hi: float,
    out: int,
    device: int,
    stream: int,
) -> None: ...
def quantize_levels(
    x: int, count: int, levels: int, n_levels: int, cols: int, out: int, device: int, stream: int
) -> None: ...
def crossbar_mvm(
    x: int,
    panels: int,
    dac: int,
    scale: int,
    scale_size: int,
    bias: int,
    n: int,
    groups: int,
    rows: int,
    cols: int,
    tile_rows: int,
    lo: float,
    hi: float,
    out: int,
    device: int,
    stream: int,
) -> None: ...
def build() -> str: ...
