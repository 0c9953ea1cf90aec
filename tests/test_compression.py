"""Networks made smaller: projections, training towards them, removal."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import memcore
from memcore import ConfigError, ConversionError
from memcore.compression import (
    kmeans,
    matrix_of,
    nearest,
    nearest_levels,
    projections,
    sizes,
    states,
    without_unused,
)

CONFIG = memcore.CrossbarConfig(device="ideal", tile=(32, 32))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def admm(**parameters):
    return memcore.compressions["admm"](**parameters)


# -- projections -----------------------------------------------------------------------------------


def best(matrix, masks):
    """The smallest squared distance of a matrix to itself with only a mask left."""
    return min(float((matrix * ~mask).square().sum()) for mask in masks)


@pytest.mark.parametrize("keep", range(1, 9))
@pytest.mark.parametrize("dim", [1, 2], ids=["filters", "columns"])
def test_ac_ad_1_no_other_lines_are_nearer(dim, keep):
    matrix = torch.randn(1, 8, 8)
    project = projections.filters if dim == 1 else projections.columns
    masks = []
    for chosen in itertools.combinations(range(8), keep):
        mask = torch.zeros(1, 8, 8, dtype=torch.bool)
        mask.index_fill_(dim, torch.tensor(chosen), True)
        masks.append(mask)
    distance = float((project(matrix, keep) - matrix).square().sum())
    assert distance == pytest.approx(best(matrix, masks), abs=1e-5)


@pytest.mark.parametrize("keep", [1, 3, 8, 15, 16])
def test_ac_ad_1_no_other_blocks_are_nearer(keep):
    matrix = torch.randn(1, 8, 8)
    masks = []
    for chosen in itertools.combinations(range(16), keep):
        blocks = torch.zeros(16, dtype=torch.bool)
        blocks[list(chosen)] = True
        masks.append(blocks.view(4, 4).repeat_interleave(2, 0).repeat_interleave(2, 1)[None])
    distance = float((projections.blocks(matrix, (2, 2), keep) - matrix).square().sum())
    assert distance == pytest.approx(best(matrix, masks), abs=1e-5)


def test_blocks_at_the_ends_are_smaller():
    matrix = torch.ones(1, 5, 5)
    matrix[0, 4, 4] = 3.0
    kept = projections.blocks(matrix, (2, 2), 1)
    assert (kept != 0).nonzero().tolist() in ([[0, 4, 4]], [])
    assert int((projections.blocks(matrix, (2, 2), 9) != matrix).sum()) == 0


def test_a_bit_line_of_an_array_has_at_most_so_many_weights():
    matrix = torch.randn(2, 6, 10)
    kept = projections.per_column(matrix, 2, rows=4)
    for start in (0, 4, 8):
        part = kept[..., start : start + 4]
        assert ((part != 0).sum(2) <= 2).all()
        whole = matrix[..., start : start + 4]
        wanted = whole.abs().topk(min(2, part.shape[2]), dim=2).values.sum(2)
        torch.testing.assert_close(part.abs().sum(2), wanted)


def test_a_fragment_has_the_sign_that_is_nearer():
    matrix = torch.randn(1, 4, 10)
    kept = projections.sign_fragments(matrix, 3)
    for row, start in itertools.product(range(4), range(0, 10, 3)):
        before, after = matrix[0, row, start : start + 3], kept[0, row, start : start + 3]
        assert (after >= 0).all() or (after <= 0).all()
        both = (before.clamp(min=0), before.clamp(max=0))
        nearest_one = min(float((before - each).square().sum()) for each in both)
        assert float((before - after).square().sum()) == pytest.approx(nearest_one, abs=1e-6)


def test_levels_are_the_nearest_values_and_zero_stays():
    values = torch.tensor([-1.0, -0.25, 0.3, 1.0])
    matrix = torch.cat([torch.randn(1, 4, 9), torch.zeros(1, 4, 1)], 2)
    found = projections.levels(matrix, values)
    wanted = values[(matrix.unsqueeze(-1) - values).abs().argmin(-1)]
    assert torch.equal(found, torch.where(matrix == 0, matrix, wanted))


@pytest.mark.parametrize(
    "project",
    [
        lambda m: projections.filters(m, 3),
        lambda m: projections.columns(m, 3),
        lambda m: projections.blocks(m, (2, 3), 4),
        lambda m: projections.per_column(m, 2, 4),
        lambda m: projections.sign_fragments(m, 4),
        lambda m: projections.levels(m, torch.tensor([-0.5, 0.0, 2.0])),
        lambda m: nearest_levels(m, finite(5)),
        lambda m: nearest_levels(m, finite(5, mapper="offset")),
    ],
)
def test_a_projection_leaves_its_set_alone(project):
    once = project(torch.randn(2, 7, 9))
    torch.testing.assert_close(project(once), once, rtol=1e-6, atol=1e-7)


def test_counts_that_are_not_there_are_errors():
    matrix = torch.randn(1, 4, 4)
    for wrong in (0, 5, 1.5, True):
        with pytest.raises(ConfigError, match="keep="):
            projections.filters(matrix, wrong)


@pytest.mark.parametrize(
    "project",
    [
        lambda m: projections.filters(m, 2),
        lambda m: projections.columns(m, 2),
        lambda m: projections.blocks(m, (2, 2), 1),
        lambda m: projections.per_column(m, 2),
        lambda m: projections.sign_fragments(m, 2),
    ],
)
def test_a_matrix_without_groups_is_refused_in_words(project):
    with pytest.raises(memcore.ShapeError, match=r"\(4, 5\); expected \[groups, .*matrix\[None\]"):
        project(torch.randn(4, 5))
    with pytest.raises(ConfigError, match="matrix is a list; expected a tensor"):
        project([[1.0, 2.0]])
    with pytest.raises(ConfigError, match="values is a list; expected a tensor"):
        projections.levels(torch.randn(1, 4, 5), [0.0, 1.0])


# -- levels of the cells ---------------------------------------------------------------------------


def finite(count, **settings):
    effects = [{"name": "finite_states", "states": count}]
    return memcore.CrossbarConfig(device="ideal", nonidealities=effects, **settings)


def test_differential_cells_of_n_states_hold_2_n_minus_1_weights():
    matrix = 2 * torch.rand(1, 40, 40) - 1
    found = nearest_levels(matrix, finite(8))
    steps = found / (matrix.abs().max() / 7)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert len(steps.round().unique()) == 15
    assert ((found - matrix).abs() <= matrix.abs().max() / 14 * (1 + 1e-4)).all()


def test_offset_cells_of_n_states_hold_n_weights_and_cleared_ones_stay():
    found = nearest_levels(torch.randn(1, 30, 30), finite(5, mapper="offset"))
    steps = 2 * found / found.abs().max()
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-4)
    assert steps.round().unique().tolist() == [-2, -1, 0, 1, 2]
    cleared = torch.zeros(1, 2, 2)
    cleared[0, 0] = 1.0  # an even number of states cannot hold the reference of 0
    assert (nearest_levels(cleared, finite(4, mapper="offset")) != 0).sum() <= 2


SLICED = memcore.CrossbarConfig(
    device="ideal", tile=(32, 32), mapper={"name": "bit_slice", "weight_bits": 8, "slice_bits": 2}
)


def test_a_mapper_that_rounds_says_the_levels():
    matrix = torch.randn(1, 40, 40)
    found = nearest_levels(matrix, SLICED)
    steps = found / (matrix.abs().max() / 127)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    model = nn.Linear(6, 4)
    smaller, _ = memcore.compress(model, SLICED, ["quantize"])
    torch.testing.assert_close(
        smaller.weight.detach(), nearest_levels(model.weight.detach()[None], SLICED)[0]
    )


def test_ac_ad_4_slices_and_signs_have_arrays_of_their_own():
    # Seven bits of magnitude in four slices, two signs, 2 x 2 tiles.
    assert sizes(nn.Linear(40, 40), SLICED)[""].arrays == 2 * 2 * 4 * 2
    two = SLICED.replace(nonidealities=[{"name": "finite_states", "states": 2}])
    assert states(two) == 2**4


def test_quantised_weights_are_written_without_error():
    # The levels are those of the cells: arrays with finite states hold them as they are.
    network = nn.Linear(20, 10)
    config = finite(16)
    smaller, _ = memcore.compress(network, config, ["quantize"])
    chip = memcore.convert(smaller, config)
    torch.testing.assert_close(chip.effective_weight, smaller.weight, rtol=1e-4, atol=1e-6)
    rough = memcore.convert(network, config)
    assert (rough.effective_weight - network.weight).abs().max() > 1e-3


def test_levels_that_the_cells_do_not_have_are_refused():
    assert states(CONFIG) is None
    assert states(finite(16)) == 16
    network = nn.Linear(4, 3)
    with pytest.raises(ConfigError, match="bits=8 wants 128 magnitudes, but a cell has 16"):
        memcore.compress(network, finite(16), [{"name": "quantize", "bits": 8}])
    with pytest.raises(ConfigError, match="finite_states"):
        memcore.compress(network, CONFIG, ["quantize"])
    with pytest.raises(ConfigError, match="finite_states"):
        memcore.compress(network, CONFIG, [admm(structure=("levels",), epochs=0)])
    with pytest.raises(ConfigError, match="off the levels"):
        admm(structure=("levels",), retraining=2)


# -- removal ---------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Two ways that are added, as a residual block has them."""

    def __init__(self, width, norms, bias):
        super().__init__()
        self.stem = nn.Conv2d(2, width, 1, bias=bias)
        self.one = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.two = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        make = nn.BatchNorm2d if norms else lambda _: nn.Identity()
        self.norms = nn.ModuleList([make(width) for _ in range(3)])
        self.head = nn.Linear(width * 4, 3)

    def forward(self, x):
        x = F.relu(self.norms[0](self.stem(x)))
        y = F.relu(self.norms[1](self.one(x)))
        x = F.relu(x + self.norms[2](self.two(y)))
        return self.head(F.max_pool2d(x, 2).view(x.shape[0], -1))


def chain(norms, bias, activation):
    layers = []
    for before, after in ((2, 6), (6, 8)):
        layers.append(nn.Conv2d(before, after, 3, bias=bias))
        layers += [nn.BatchNorm2d(after)] if norms else []
        layers += [activation()]
    return nn.Sequential(
        *layers,
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 10, bias=bias),
        activation(),
        nn.Dropout(),
        nn.Linear(10, 4, bias=bias),
    )


def random_network(seed):
    """A network of a kind that depends on the seed, with statistics and some cleared lines."""
    generator = torch.Generator().manual_seed(seed)
    norms, bias = bool(seed & 1), bool(seed & 2)
    if seed % 3 == 0:
        model = Residual(6, norms, bias)
    else:
        model = chain(norms, bias, (nn.ReLU, nn.Tanh, nn.GELU)[seed % 7 % 3])
    with torch.no_grad():
        for module in model.modules():
            for value in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                if value.is_floating_point():
                    value.copy_(0.4 * torch.randn(value.shape, generator=generator))
            if isinstance(module, nn.BatchNorm2d):
                module.running_var.copy_(0.5 + torch.rand(module.num_features, generator=generator))
        for module in list(model.modules()):
            if isinstance(module, nn.Conv2d | nn.Linear):
                out, into = module.weight.shape[:2]
                module.weight[torch.rand(out, generator=generator) < 0.4] = 0
                module.weight[:, torch.rand(into, generator=generator) < 0.2] = 0
    return model.eval()


def channels(model):
    return sum(m.weight.shape[0] for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear))


@pytest.mark.parametrize("start", range(0, 100, 10))
def test_ac_ad_3_removal_changes_no_output(start):
    smaller_ones = 0
    for seed in range(start, start + 10):
        model = random_network(seed)
        smaller, _ = without_unused(model)
        x = torch.randn(5, 2, 4 if isinstance(model, Residual) else 8, 4)
        x = x if isinstance(model, Residual) else torch.randn(5, 2, 8, 8)
        with torch.no_grad():
            assert (model(x) - smaller(x)).abs().max() <= 1e-6 * max(1, float(model(x).abs().max()))
        smaller_ones += channels(smaller) < channels(model)
        before, after = (sum(s.arrays for s in sizes(m, TINY).values()) for m in (model, smaller))
        assert after <= before
    assert smaller_ones >= 5


TINY = memcore.CrossbarConfig(device="ideal", tile=(4, 4))


def test_a_clear_filter_leaves_its_constant_in_the_next_bias():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        model[0].weight[1:3] = 0
        model[1].running_mean.normal_()
    smaller, notes = without_unused(model)
    assert smaller[0].out_features == smaller[1].num_features == smaller[3].in_features == 2
    assert notes == {"0": "2 filters are removed"}
    assert not torch.equal(smaller[3].bias, model[3].bias)
    x = torch.randn(9, 3)
    torch.testing.assert_close(smaller(x), model(x))


def test_a_filter_that_nothing_reads_goes_and_so_on_backwards():
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 2))
    with torch.no_grad():
        model[4].weight[:, 2:] = 0  # five of the seven are not read
        model[2].weight[:2, 3:] = 0  # what is left reads three of the six
    smaller, _ = without_unused(model.eval())
    assert [smaller[k].weight.shape for k in (0, 2, 4)] == [(3, 5), (2, 3), (2, 2)]
    x = torch.randn(4, 5)
    torch.testing.assert_close(smaller(x), model(x))


def test_added_channels_go_together_or_stay():
    model = Residual(6, norms=False, bias=False).eval()
    with torch.no_grad():
        model.stem.weight[0] = 0
    assert without_unused(model)[0].stem.out_channels == 6
    with torch.no_grad():
        model.two.weight[0] = 0
    smaller, _ = without_unused(model)
    assert smaller.stem.out_channels == smaller.two.out_channels == smaller.one.in_channels == 5
    assert smaller.one.out_channels == 6
    x = torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(smaller(x), model(x))


def test_a_constant_in_front_of_zero_padding_stays_unless_it_is_folded():
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 3, padding=1)).eval()
    with torch.no_grad():
        model[0].weight[0] = 0
        model[0].bias[0] = 1.0
    kept, notes = without_unused(model)
    assert kept[0].out_channels == 3
    assert "constants in front of zero padding" in notes["0"]
    folded, _ = without_unused(model, fold_borders=True)
    assert folded[0].out_channels == 2
    x = torch.randn(1, 1, 6, 6)
    inside = (folded(x) - model(x))[..., 1:-1, 1:-1]
    assert inside.abs().max() < 1e-5 < (folded(x) - model(x)).abs().max()
    with torch.no_grad():
        model[0].bias[0] = -1.0  # the ReLU makes it 0
    assert without_unused(model)[0][0].out_channels == 2


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        return self.two(self.one(x).softmax(-1))


def test_what_is_not_followed_stays_and_says_why():
    model = Odd().eval()
    with torch.no_grad():
        model.one.weight[0] = 0
    smaller, notes = without_unused(model)
    assert smaller.one.out_features == 4
    assert "softmax" in notes["one"]


def test_a_layer_that_is_used_twice_stays():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        shared.weight[0] = 0
    smaller, _ = without_unused(model)
    x = torch.randn(3, 4)
    assert torch.equal(smaller(x), model(x))


def test_activations_in_place_are_seen_by_all_that_read():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.one(x)
            y = self.act(x)
            return self.three(x + self.two(y))

    model = Both().eval()
    with torch.no_grad():
        model.one.weight[0], model.one.bias[0] = 0, -2.0
        model.two.weight[0] = 0
    smaller, _ = without_unused(model)
    assert smaller.one.out_features == 3
    x = torch.randn(5, 3)
    torch.testing.assert_close(smaller(x), model(x))


def test_a_network_that_cannot_be_traced_is_refused():
    class Branch(Odd):
        def forward(self, x):
            return self.two(x) if x.sum() > 0 else x

    with pytest.raises(ConversionError, match="cannot be traced"):
        without_unused(Branch())


# -- purification ----------------------------------------------------------------------------------


def test_purify_clears_lines_that_are_nearly_empty_and_small():
    model = nn.Sequential(nn.Linear(30, 6), nn.ReLU(), nn.Linear(6, 3))
    with torch.no_grad():
        model[0].weight[0, 1:] = 0
        model[0].weight[0, 0] = 1e-3  # nearly empty and small
        model[0].weight[1, 1:] = 0
        model[0].weight[1, 0] = 5.0  # nearly empty, but large
        model[0].weight[2] = 1e-4  # small, but not empty
    smaller, report = memcore.compress(model, CONFIG, ["purify"])
    assert (smaller[0].weight[0] == 0).all()
    assert torch.equal(smaller[0].weight[1:], model[0].weight[1:])
    assert report.notes[0][1:] == ("0", "1 weights of nearly empty lines are cleared")


# -- sizes and costs -------------------------------------------------------------------------------


@pytest.mark.parametrize("mapper", ["differential", "offset"])
def test_ac_ad_4_arrays_are_counted_by_the_formula(mapper):
    config = memcore.CrossbarConfig(device="ideal", tile=(32, 33), mapper=mapper)
    model = nn.Sequential(nn.Conv2d(3, 70, 3), nn.Flatten(), nn.Linear(70 * 4, 50))
    with torch.no_grad():
        model[0].weight[10:] = 0
        model[0].weight[:, 2] = 0
        model[2].weight[:, 100:] = 0
    signs, wide = (2, 33) if mapper == "differential" else (1, 32)
    found = sizes(model, config)
    assert (found["0"].rows, found["0"].cols) == (18, 10)
    for size in found.values():
        assert size.arrays == math.ceil(size.rows / 32) * math.ceil(size.cols / wide) * signs


def test_ac_ad_4_the_area_of_the_cost_report_falls_like_the_arrays():
    model = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64))
    passes = [admm(structure=("filters",), keep=0.5, epochs=0), "remove_unused"]
    smaller, report = memcore.compress(model, CONFIG, passes)
    assert report.arrays == (48, 24)
    before, after = (memcore.convert(m, CONFIG) for m in (model, smaller))
    assert [memcore.summary(chip).arrays for chip in (before, after)] == [48, 24]
    x = torch.rand(2, 128)
    area = [memcore.cost(chip, x, model="array").total.area for chip in (before, after)]
    assert area[1] / area[0] == pytest.approx(24 / 48)
    assert "times fewer weights; 48 arrays before, 24 after" in str(report)


def test_the_costs_of_both_networks_stand_side_by_side():
    model = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64))
    passes = [admm(structure=("filters",), keep=0.5, epochs=0), "remove_unused"]
    smaller, report = memcore.compress(model, CONFIG, passes)
    x, priced = torch.rand(2, 128), {"model": "array", "crossbar": CONFIG}
    found = memcore.compare_costs(model, smaller, x, **priced)
    assert found.arrays == report.arrays == (48, 24)
    assert found.area == pytest.approx(0.5)
    assert found.energy == found.after.total.energy / found.before.total.energy < 1
    text = str(found)
    assert "48 -> 24" in text
    assert "50 % of the area are left" in text
    assert text.count("->") == 4 * 3, "two layers and the total"
    same = memcore.compare_costs(model, model, x, **priced)
    assert same.energy == same.area == same.time == 1


# -- training towards the set ----------------------------------------------------------------------


def toy(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    x = torch.randn(256, 12)
    target = (x[:, :4] @ torch.randn(4, 3)).argmax(1)
    return model, list(zip(x.split(32), target.split(32), strict=True))


STRUCTURES = [
    ("filters", "columns"),
    ("blocks",),
    ("per_column",),
    ("sign_fragments",),
    ("columns", "levels"),
]


@pytest.mark.parametrize("structure", STRUCTURES, ids="-".join)
def test_ac_ad_2_weights_end_exactly_on_the_set(structure):
    model, loader = toy()
    config = finite(16, tile=(6, 8))
    each = admm(structure=structure, keep=0.5, epochs=12, rho=1e-2)
    # Eight passes over the data an epoch: the weights must be able to follow.
    smaller, report = memcore.compress(model, config, [each], loader * 8)
    last = "2"
    for name, module in (("0", smaller[0]), ("2", smaller[2])):
        matrix = matrix_of(module).detach()
        again = each._projected(matrix, config, name == last)
        torch.testing.assert_close(again, matrix, rtol=1e-6, atol=1e-7)
        assert int((matrix != 0).sum()) < matrix.numel() or structure[-1] == "levels"
    residuals = [figures["residual"] for _, _, figures in report.log]
    assert residuals[-1] < residuals[6]


def test_what_is_zero_stays_zero_in_a_training_that_follows():
    model, loader = toy()
    each = admm(keep=0.5, epochs=2, retraining=0)
    pruned, _ = memcore.compress(model, CONFIG, [each], loader)
    trained, _ = memcore.compress(model, CONFIG, [admm(keep=0.5, epochs=2, retraining=3)], loader)
    for before, after in zip(pruned.parameters(), trained.parameters(), strict=True):
        if before.dim() > 1:
            assert torch.equal(before == 0, after == 0)
            assert not torch.equal(before, after)


def test_rounding_in_training_keeps_what_was_pruned():
    model, loader = toy()
    passes = [admm(keep=0.5, epochs=1), {"name": "quantize", "bits": 6, "epochs": 2}]
    smaller, report = memcore.compress(model, CONFIG, passes, loader, distil=0.5)
    for size in report.after.values():
        assert size.kept <= 0.5 * size.weights
    step = smaller[0].weight.abs().max() / 31
    torch.testing.assert_close(
        smaller[0].weight / step, (smaller[0].weight / step).round(), rtol=0, atol=1e-3
    )


def test_the_loop_can_be_ones_own():
    model, loader = toy()
    each = admm(keep=0.5, epochs=3)
    state = each.prepare(model, CONFIG, None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(each.epochs):
        for x, target in loader:
            loss = F.cross_entropy(model(x), target) + each.penalty(model, state)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert set(each.update(model, state)) == {"residual", "rho"}
    done = each.finalize(model, state)
    assert done.model is model
    assert (model[0].weight == 0).all(1).sum() == 8


def test_the_original_is_left_alone():
    model, loader = toy()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    memcore.compress(model, CONFIG, [admm(epochs=1), "remove_unused"], loader)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"passes": ["adm"]}, "did you mean: 'admm'"),
        ({"passes": [{"name": "admm", "keep": 0}]}, "keep"),
        ({"passes": [{"name": "admm", "structure": ["rows"]}]}, "structure"),
        ({"passes": [{"name": "admm", "epochs": 2}]}, "there is no loader"),
        ({"passes": ["codebook"]}, "pass a loader"),
        ({"passes": ["purify"], "distil": 2.0}, "share from 0 to 1"),
        ({"passes": ["purify"], "config": {}}, "CrossbarConfig"),
        ({"passes": ["purify"], "model": nn.ReLU()}, "no linear layer"),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments, message):
    model = arguments.pop("model", nn.Sequential(nn.Linear(4, 3)))
    config = arguments.pop("config", CONFIG)
    with pytest.raises(memcore.MemcoreError, match=message):
        memcore.compress(model, config, **arguments)


def test_a_converted_network_is_refused():
    chip = memcore.convert(nn.Sequential(nn.Linear(4, 3)), CONFIG)
    with pytest.raises(ConversionError, match="revert_"):
        memcore.compress(chip, CONFIG, ["purify"])


# -- codebooks of numbers --------------------------------------------------------------------------


def test_few_distinct_values_are_their_own_codebook():
    values = torch.tensor([3.0, -1.0, 3.0, 0.5])
    assert kmeans(values, 4).tolist() == [-1.0, 0.5, 3.0, 3.0]


def test_the_rounds_end_where_every_entry_is_the_mean_of_its_values():
    values = torch.randn(3000, dtype=torch.float64)
    book = kmeans(values, 16)
    codes = nearest(book, values)
    assert (book.diff() > 0).all()
    for k in range(16):
        assert values[codes == k].mean() == pytest.approx(float(book[k]))
    uniform = torch.linspace(float(values.min()), float(values.max()), 16, dtype=torch.float64)
    error, other = ((values - b[nearest(b, values)]).square().mean() for b in (book, uniform))
    assert error < 0.7 * other


X, Y = torch.ones(5, 8), torch.zeros(5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"loader": [X]}, "a batch of the loader is Tensor; expected"),
        ({"loader": [(X,)]}, "a batch of the loader is 1 parts; expected"),
        ({"loader": [(X[:, :3], Y)]}, "cannot be trained on a batch of the loader: mat1 and mat2"),
        ({"loader": [(X, Y[:4])]}, "cannot be trained on a batch of the loader: Expected input"),
        ({"loader": 3}, "loader=3; expected batches"),
        ({"loader": [(X, Y)], "loss": 3}, "loss=3; expected a function"),
        ({"loader": [(X, Y)], "optimizer": "adam"}, "optimizer='adam'; expected a function"),
    ],
)
def test_a_training_that_cannot_be_is_named(given, text):
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    config = memcore.CrossbarConfig(device="ideal", tile=(4, 4))
    with pytest.raises(memcore.MemcoreError, match=text):
        memcore.compress(network, config, [{"name": "admm", "epochs": 1}], **given)
