import pytest
import torch

from memcore import ConfigError, Crossbar, Stream, Wires, plot
from memcore.circuit import Drive, solve

pytest.importorskip("matplotlib")

WIRES = Wires(word_line=20.0, bit_line=10.0)


@pytest.fixture
def solution():
    g = 1e-6 + 1e-4 * Stream(0).uniform((6, 9)).double()
    return Crossbar(g, wires=WIRES).solve(0.2 * Stream(1).uniform((6,)).double())


def drawn(ax):
    return torch.from_numpy(ax.collections[0].get_array().data).view(6, 9)


@pytest.mark.parametrize(
    ("what", "field", "scale", "label"),
    [
        ("current", "cell_current", 1e6, "cell current / µA"),
        ("word_line", "word_line", 1e3, "word-line voltage / mV"),
        ("bit_line", "bit_line", 1e3, "bit-line voltage / mV"),
        ("cell_voltage", "cell_voltage", 1e3, "voltage across a cell / mV"),
    ],
)
def test_a_map_shows_the_solution_in_a_readable_unit(solution, what, field, scale, label):
    ax = plot.crossbar(solution, what)
    torch.testing.assert_close(drawn(ax), scale * getattr(solution, field))
    (bar,) = ax.child_axes
    assert bar.get_ylabel() == label


def test_word_lines_run_from_top_to_bottom(solution):
    ax = plot.crossbar(solution)
    assert ax.get_ylim() == (6, 0)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["0", "1", "2", "3", "4", "5"]


def test_currents_of_both_signs_have_a_scale_about_zero():
    g = 1e-4 * Stream(0).uniform((6, 9)).double()
    v = torch.tensor([0.2, -0.1, 0.2, -0.1, 0.2, -0.1]).double()
    cells = plot.crossbar(Crossbar(g, wires=WIRES).solve(v)).collections[0]
    low, high = cells.get_clim()
    assert low == -high < 0


def test_what_leaks_the_other_way_takes_no_half_of_the_scale():
    drive = Drive.select(6, 9, 2, 3, 1.0, "V/2")
    solution = solve(1e-6 + 1e-4 * Stream(0).uniform((6, 9)).double(), WIRES, drive)
    shown = 1e6 * solution.cell_current
    assert -0.02 < float(shown.min() / shown.max()) < 0
    limits = plot.crossbar(solution).collections[0].get_clim()
    assert limits == pytest.approx((float(shown.min()), float(shown.max())))


def test_it_draws_where_it_is_told(solution):
    ax = plot.crossbar(solution)
    assert plot.crossbar(solution, "bit_line", ax=ax) is ax


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
@pytest.mark.parametrize("size", [6, 128])
def test_figures_are_saved_and_stay_small(tmp_path, suffix, size):
    g = 1e-6 + 1e-4 * Stream(0).uniform((size, size)).double()
    solution = Crossbar(g, wires=WIRES).solve(0.2 * Stream(1).uniform((size,)).double())
    path = tmp_path / f"currents.{suffix}"
    plot.crossbar(solution).figure.savefig(path)
    assert 1_000 < path.stat().st_size < 400_000


def test_text_stays_text_and_small_maps_stay_vectors(tmp_path, solution):
    import matplotlib

    path = tmp_path / "currents.svg"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot.crossbar(solution).figure.savefig(path)
    written = path.read_text(encoding="utf-8")
    assert "cell current / µA" in written
    assert written.count("QuadMesh") == 1
    assert written.count("<image") == 1  # the colour bar


def test_the_loss_is_what_is_applied_less_what_cells_have():
    drive = Drive.select(6, 9, 2, 3, 1.0, "V/3")
    g = 1e-6 + 1e-4 * Stream(0).uniform((6, 9)).double()
    solution = solve(g, WIRES, drive)
    ax = plot.crossbar(solution, "loss", drive=drive)
    applied = torch.full((6, 9), -1 / 3, dtype=torch.float64)
    applied[2], applied[:, 3] = 1 / 3, 1 / 3
    applied[2, 3] = 1.0
    torch.testing.assert_close(drawn(ax), 1e3 * (applied - solution.cell_voltage))
    with pytest.raises(ConfigError, match=r"expected drive=\.\.\."):
        plot.crossbar(solution, "loss")


def marks(ax):
    """Where along the lines each marker is."""
    return {
        line.get_marker(): list(line.get_ydata() if line.get_marker() in "<>" else line.get_xdata())
        for line in ax.lines
    }


def test_ends_of_lines_are_marked_where_they_are(solution):
    rows, cols = [k + 0.5 for k in range(6)], [k + 0.5 for k in range(9)]
    assert marks(plot.crossbar(solution)) == {">": rows, "v": cols}
    turned = plot.crossbar(solution, wires=Wires(drive="both", sense_at="top"))
    assert marks(turned) == {">": rows, "<": rows, "^": cols}
    floating = Drive.select(6, 9, 2, 3, 1.0, "floating")
    assert marks(plot.crossbar(solution, drive=floating)) == {">": [2.5], "v": [3.5]}


def test_the_driven_line_of_a_large_array_is_marked():
    g = 1e-6 + 1e-4 * Stream(0).uniform((40, 200)).double()
    drive = Drive.select(40, 200, 19, 77, 1.0, "floating")
    solution = solve(g, WIRES, drive)
    assert marks(plot.crossbar(solution, drive=drive)) == {">": [19.5], "v": [77.5]}
    read = marks(plot.crossbar(solution, drive=Drive.read(drive.word_line)))
    assert len(read[">"]) == 5
    assert len(read["v"]) == 7


@pytest.mark.parametrize("view", ["current", "loss"])
def test_a_drive_of_several_vectors_is_refused_by_name(solution, view):
    for name, drive in {
        "word_line": Drive.read(torch.ones(3, 6)),
        "bit_line": Drive(word_line=torch.ones(6), bit_line=torch.ones(3, 9)),
        "floating_bit_lines": Drive(
            word_line=torch.ones(6), floating_bit_lines=torch.zeros(6, dtype=torch.bool)
        ),
    }.items():
        with pytest.raises(ConfigError, match=rf"drive\.{name} has shape .* one vector"):
            plot.crossbar(solution, view, drive=drive)


def test_cells_of_floating_lines_have_no_loss_to_show():
    drive = Drive.select(6, 9, 2, 3, 1.0, "floating")
    g = 1e-6 + 1e-4 * Stream(0).uniform((6, 9)).double()
    ax = plot.crossbar(solve(g, WIRES, drive), "loss", drive=drive)
    shown = ax.collections[0].get_array()
    assert (~shown.mask).sum() == 1
    assert not shown.mask[2, 3]


def test_several_solutions_say_how_to_select_one(solution):
    g = 1e-4 * Stream(0).uniform((6, 9)).double()
    several = Crossbar(g, wires=WIRES).solve(torch.ones(3, 6).double())
    with pytest.raises(ConfigError, match=r"of \[3\] vectors and arrays; expected one"):
        plot.crossbar(several)
    plot.crossbar(several[1])


def test_an_unknown_view_names_the_known_ones(solution):
    with pytest.raises(ConfigError, match="what='power'; expected one of 'current'"):
        plot.crossbar(solution, "power")
