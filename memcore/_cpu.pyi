"""Addresses and sizes; see native/include/memcore/kernels.h."""

def philox_uniform(
    reads: int, n_reads: int, elements: int, size: int, key: int, out: int, first: int
) -> None: ...
def philox_normal(
    reads: int, n_reads: int, elements: int, size: int, key: int, out: int, first: int
) -> None: ...
def philox_bernoulli(
    reads: int, n_reads: int, elements: int, size: int, key: int, p: float, out: int
) -> None: ...
def quantize_uniform(
    x: int, count: int, step: int, cols: int, lo: float, hi: float, out: int
) -> None: ...
def quantize_levels(
    x: int, count: int, levels: int, n_levels: int, cols: int, out: int
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
) -> None: ...
def matrix_sums(x: int, count: int, out: int) -> None: ...
def largest_magnitude(x: int, count: int) -> float: ...
def lay_pairs(
    weight: int,
    by_columns: bool,
    groups: int,
    rows: int,
    cols: int,
    tile_rows: int,
    tile_cols: int,
    scale: int,
    scale_size: int,
    limit: float,
    span: float,
    start: float,
    fill: float,
    out: int,
    range: int,
) -> None: ...
def fold_pairs(
    cells: int,
    reference: bool,
    groups: int,
    rows: int,
    cols: int,
    tile_rows: int,
    tile_cols: int,
    gain: int,
    gain_size: int,
    out: int,
    out_rows: int,
    check: int,
) -> None: ...
def cell_forms(
    g: int, count: int, integers: int, floats: int, forms: int, out: int, check: int
) -> None: ...
def cell_shares(x: int, count: int, integers: int, bounds: int, shares: int) -> None: ...
def cell_errors(x: int, y: int, count: int, out: int) -> None: ...
def crossbar_read(arguments: int, lo: float, hi: float) -> None: ...
def multiplies_narrow() -> bool: ...
def crossbar_rows(
    x: int,
    panels: int,
    variance: int,
    narrow: int,
    dac: int,
    scale: int,
    scale_size: int,
    bias: int,
    n: int,
    groups: int,
    rows: int,
    cols: int,
    values: int,
    tile_rows: int,
    key: int,
    first: int,
    step: int,
    lo: float,
    hi: float,
    out: int,
) -> None: ...
def rehearsed_read(integers: int, floats: int) -> bool: ...
def looks_up_bytes() -> bool: ...
def serial_read(arguments: int, dac_lo: float, dac_hi: float, lo: float, hi: float) -> None: ...
def simulate(arguments: int) -> None: ...
def pulse_energy(
    arguments: int, width: float, accuracy: float, change: float, missed: float, same: float
) -> None: ...
def simulate_operation(code: int) -> str | None: ...
def effective_conductance_float(
    g: int,
    word: int,
    bit: int,
    arrays: int,
    rows: int,
    cols: int,
    drive_both: bool,
    sense_both: bool,
    kept: int,
    out: int,
) -> float: ...
def effective_conductance_double(
    g: int,
    word: int,
    bit: int,
    arrays: int,
    rows: int,
    cols: int,
    drive_both: bool,
    sense_both: bool,
    kept: int,
    out: int,
) -> float: ...
def effective_conductance_kept_float(
    rows: int, cols: int, drive_both: bool, sense_both: bool
) -> int: ...
def effective_conductance_kept_double(
    rows: int, cols: int, drive_both: bool, sense_both: bool
) -> int: ...
def effective_conductance_backward_float(
    g: int,
    word: int,
    bit: int,
    arrays: int,
    rows: int,
    cols: int,
    drive_both: bool,
    sense_both: bool,
    kept: int,
    grad: int,
    grad_g: int,
    grad_word: int,
    grad_bit: int,
) -> float: ...
def effective_conductance_backward_double(
    g: int,
    word: int,
    bit: int,
    arrays: int,
    rows: int,
    cols: int,
    drive_both: bool,
    sense_both: bool,
    kept: int,
    grad: int,
    grad_g: int,
    grad_word: int,
    grad_bit: int,
) -> float: ...
def cell_voltages_float(
    g: int,
    word: int,
    bit: int,
    arrays: int,
    rows: int,
    cols: int,
    drive_both: bool,
    sense_both: bool,
    drives: int,
    word_volts: int,
    bit_volts: int,
    out: int,
) -> None: ...
def cell_voltages_double(
    g: int,
    word: int,
    bit: int,
    arrays: int,
    rows: int,
    cols: int,
    drive_both: bool,
    sense_both: bool,
    drives: int,
    word_volts: int,
    bit_volts: int,
    out: int,
) -> None: ...
def ladder_size_float(rows: int, cols: int, across: bool) -> int: ...
def ladder_factor_float(
    arrays: int,
    rows: int,
    cols: int,
    across: bool,
    near_last: bool,
    shunt: int,
    segments: int,
    far: int,
    packed: int,
) -> None: ...
def ladder_solve_float(
    arrays: int,
    rows: int,
    cols: int,
    across: bool,
    near_last: bool,
    each: int,
    packed: int,
    inputs: int,
    voltages: int,
    energy: int,
) -> None: ...
def loops_solve_float(
    arrays: int,
    rows: int,
    cols: int,
    memory: int,
    g: int,
    word_volts: int,
    bit_volts: int,
    tolerance: float,
    rounding: float,
    iterations: int,
    voltages: int,
    residual: int,
    lost: int,
) -> None: ...
def ladder_size_double(rows: int, cols: int, across: bool) -> int: ...
def ladder_factor_double(
    arrays: int,
    rows: int,
    cols: int,
    across: bool,
    near_last: bool,
    shunt: int,
    segments: int,
    far: int,
    packed: int,
) -> None: ...
def ladder_solve_double(
    arrays: int,
    rows: int,
    cols: int,
    across: bool,
    near_last: bool,
    each: int,
    packed: int,
    inputs: int,
    voltages: int,
    energy: int,
) -> None: ...
def loops_solve_double(
    arrays: int,
    rows: int,
    cols: int,
    memory: int,
    g: int,
    word_volts: int,
    bit_volts: int,
    tolerance: float,
    rounding: float,
    iterations: int,
    voltages: int,
    residual: int,
    lost: int,
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
) -> None: ...
def counted_products(
    rows: int,
    cols: int,
    n: int,
    groups: int,
    inputs: int,
    outputs: int,
    carry: int,
    up: int,
    down: int,
    slots: int,
) -> None: ...
def pulse_trains(arguments: int) -> None: ...
def fold_states(arguments: int) -> None: ...
def pulse_order(
    up: int,
    down: int,
    rows: int,
    cols: int,
    array_rows: int,
    array_cols: int,
    data_cols: int,
    begin: int,
    end: int,
    opposite: bool,
    conductance: int,
    key: int,
    read: int,
    before: int,
    behind: int,
    sums: int,
) -> None: ...
def sensed_sums(
    bits: int,
    cells: int,
    reads: int,
    key: int,
    threshold: int,
    other: int,
    n: int,
    groups: int,
    units: int,
    rows: int,
    cols: int,
    lines: int,
    sensed: int,
    out: int,
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
) -> None: ...
def weighted_squares(
    x: int, weights: int, n: int, size: int, inverse: float, lo: float, hi: float
) -> float: ...
def use_large_pages(memory: int, bytes: int) -> None: ...
def isa() -> str: ...
def threads() -> int: ...
