"""As _cpu, with the device index and the stream; see the headers in native/include."""

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
def crossbar_read(
    x: int,
    panels: int,
    variance: int,
    reads: int,
    dac: int,
    scale: int,
    bias: int,
    key: int,
    scale_size: int,
    n: int,
    groups: int,
    rows: int,
    cols: int,
    values: int,
    tile_rows: int,
    lo: float,
    hi: float,
    out: int,
    device: int,
    stream: int,
) -> None: ...
def coincidences(
    rows: int,
    cols: int,
    length: int,
    n: int,
    groups: int,
    inputs: int,
    outputs: int,
    row_key: int,
    col_key: int,
    first: int,
    up: int,
    down: int,
    ends: int,
    words: int,
    row_words: int,
    col_words: int,
    device: int,
    stream: int,
) -> None: ...
def first_pulses(
    up: int, down: int, count: int, key: int, read: int, first: int, device: int, stream: int
) -> None: ...
def serial_read(
    arguments: int,
    dac_lo: float,
    dac_hi: float,
    lo: float,
    hi: float,
    device: int,
    stream: int,
) -> None: ...
def sensed_sums(
    bits: int,
    cells: int,
    reads: int,
    key: int,
    n: int,
    groups: int,
    units: int,
    rows: int,
    cols: int,
    lines: int,
    sensed: int,
    out: int,
    bit_words: int,
    cell_words: int,
    pairs: int,
    device: int,
    stream: int,
) -> None: ...
def codebook_product(
    x: int,
    codes: int,
    book: int,
    bias: int,
    n: int,
    rows: int,
    cols: int,
    bits: int,
    out: int,
    device: int,
    stream: int,
) -> None: ...
def move_cells(arguments: int, device: int, stream: int) -> None: ...
def build() -> str: ...
