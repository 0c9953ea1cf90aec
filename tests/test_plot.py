import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore import ConfigError, plot, simulate, stimuli
from memcore.cli.main import main
from memcore.dynamics.sweep import liveliest_sweep
from memcore.plot.notebook import parameters

pytest.importorskip("matplotlib")


@pytest.fixture
def trace():
    dt = 1e-10
    return simulate(memcore.devices["vteam"](), stimuli.sine(1.0, 50e6, dt=dt), dt, shape=(3,))


def test_a_hysteresis_has_a_pinched_line_for_each_cell(trace):
    ax = plot.hysteresis(trace)
    drawn = [line for line in ax.lines if len(line.get_xdata()) == 200]
    assert len(drawn) == 3
    torch.testing.assert_close(torch.tensor(drawn[0].get_xdata()), trace.voltage)
    in_milliampere = torch.tensor(drawn[0].get_ydata()).float()
    torch.testing.assert_close(in_milliampere, 1e3 * trace.current[:, 0])
    assert ax.get_ylabel() == "current / mA"
    assert plot.hysteresis(trace, log=True, ax=ax) is ax
    assert ax.get_yscale() == "log"


def test_switching_shows_the_resistance_in_time(trace):
    ax = plot.switching(trace)
    assert ax.get_xlabel() == "time / ns"
    shown = torch.tensor(ax.lines[0].get_ydata()).float() * _ohm(ax.get_ylabel())
    torch.testing.assert_close(shown, 1 / trace.conductance[:, 0])


def test_a_pulse_response_tells_set_from_reset_by_the_polarity():
    device = memcore.devices["vteam"](k_on=-1e-2)
    assert device.polarity == -1
    voltage = stimuli.ltp_ltd(-0.6, 0.1, 5, width=2e-9, gap=1e-9, dt=1e-9, read=0.01)
    trace = simulate(device, voltage, 1e-9, shape=(2,))
    ax = plot.pulse_response(trace, threshold=0.05)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["SET", "RESET"]
    rising = torch.tensor(ax.lines[0].get_ydata())
    falling = torch.tensor(ax.lines[2].get_ydata())
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert (rising.diff() > 0).all()
    assert (falling.diff() < 0).all()
    # The last pulse ends where the trace does, but for its gap, in which nothing moves.
    end = 1e3 * device.conductance(trace.final)[0].item()
    assert falling[-1].item() == pytest.approx(end, rel=1e-6)


def _train(gap, **options):
    device, dt = memcore.devices["vteam"].preset("magic"), 1e-9
    voltage = 2 * stimuli.ltp_ltd(-1, 1, 10, width=2 * dt, gap=gap, dt=dt)
    return simulate(device, voltage, dt, **options)


@pytest.mark.parametrize("record", [2, 3, 1000, "last"])
def test_a_pulse_response_needs_every_sample(record):
    with pytest.raises(ConfigError, match=r"one of \d+ samples, .* simulate with record='all'"):
        plot.pulse_response(_train(1e-9, record=record))


def test_pulses_without_a_gap_are_told_apart_by_their_width_only():
    with pytest.raises(ConfigError, match=r"never within threshold=0\.0 V, .* expected a gap"):
        plot.pulse_response(_train(0))
    with pytest.raises(ConfigError, match="for 20 samples, but a pulse of this width has 3"):
        plot.pulse_response(_train(0), width=3e-9)
    with pytest.raises(ConfigError, match=r"width=1\.5e-09 s; expected a whole number of samples"):
        plot.pulse_response(_train(0), width=1.5e-9)
    dots = [
        [line.get_ydata().tolist() for line in plot.pulse_response(*each, width=2e-9).lines]
        for each in ([_train(0)], [_train(1e-9)])
    ]
    assert [len(line) for line in dots[0]] == [10, 10]
    assert dots[0][0] == pytest.approx(dots[1][0], rel=1e-5)


def test_loops_and_switching_say_that_samples_are_left_out():
    for draw in (plot.hysteresis, plot.switching):
        assert draw(_train(1e-9)).get_title() == "Vteam"
        assert draw(_train(1e-9, record=3)).get_title() == "Vteam, one of 3 samples"


def test_a_cumulative_plot_shows_the_spread_of_both_ends():
    device = memcore.devices["vteam"](r_on=memcore.Normal(50, 5, min=1))
    ax = plot.cumulative(device, cells=400)
    on, off = ax.lines
    spread = torch.tensor(on.get_xdata()).std() * _ohm(ax.get_xlabel())
    assert spread == pytest.approx(5, rel=0.2)
    assert torch.tensor(on.get_xdata()).median() * _ohm(ax.get_xlabel()) == pytest.approx(
        50, rel=0.02
    )
    assert set((torch.tensor(off.get_xdata()) * _ohm(ax.get_xlabel())).round().tolist()) == {1000.0}
    assert on.get_ydata()[0] == pytest.approx(0.5 / 400)


def _ohm(label):
    return 1e3 if "kΩ" in label else 1.0


def test_what_cannot_be_drawn_says_why(trace):
    with pytest.raises(ConfigError, match="at least 2 samples, but the trace has 1"):
        plot.hysteresis(simulate(trace.device, torch.zeros(5), 1e-9, record="last"))
    with pytest.raises(ConfigError, match=r"never exceeds threshold=2\.0 V"):
        plot.pulse_response(trace, threshold=2.0)
    with pytest.raises(ConfigError, match="one waveform for all cells"):
        plot.pulse_response(simulate(trace.device, torch.zeros(5, 2), 1e-9))
    with pytest.raises(ConfigError, match="cells=0"):
        plot.cumulative(trace.device, cells=0)


def test_importing_the_plots_does_not_import_matplotlib():
    code = "import sys, memcore.plot; assert 'matplotlib' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["vteam", "linear_ion_drift", "data_driven", "mms", "yakopcic"])
def test_the_loop_of_a_device_is_one_that_it_shows(name):
    g = liveliest_sweep(memcore.devices[name]()).conductance
    assert g.max() > 1.2 * g.min()


def test_a_notebook_shows_parameters_sources_and_a_loop():
    shown = memcore.devices["vteam"](r_on=memcore.Normal(50, 5))._repr_html_()
    assert "<svg" in shown
    for part in ("<code>v_on</code>", "<td>-0.2</td><td>V</td>", "demonstration set", "Normal("):
        assert part in shown


def test_parameters_of_drawn_cells_are_shown_as_a_range():
    device = memcore.devices["vteam"](r_on=torch.tensor([40.0, 60.0]))
    row = next(row for row in parameters(device) if row.name == "r_on")
    assert (row.value, row.unit) == ("40 to 60 in 2 cells", "ohm")


def test_the_command_shows_a_device_and_draws_its_loop(tmp_path):
    picture = tmp_path / "loop.png"
    words = ["device", "vteam", "--preset", "pt_hf_ti", "--plot", str(picture)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "preset pt_hf_ti: Kvatinsky 2015" in done.output
    assert "v_on" in done.output
    assert "  magic: " in done.output
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_the_command_names_what_it_does_not_know():
    for words, message in (
        (["device", "nonsense"], "nonsense"),
        (["device", "vteam", "--preset", "nonsense"], "no preset 'nonsense'; it has: demo"),
    ):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2
        assert message in done.output


@pytest.mark.parametrize("setting", ["path", "none"])
def test_text_stays_text_in_files_whatever_is_set_globally(tmp_path, setting):
    matplotlib = pytest.importorskip("matplotlib")
    ax = memcore.plot.cumulative(memcore.devices["ideal"]())
    with matplotlib.rc_context({"svg.fonttype": setting, "pdf.fonttype": 3}):
        ax.figure.savefig(tmp_path / "picture.svg")
        ax.figure.savefig(tmp_path / "picture.pdf")
        assert matplotlib.rcParams["svg.fonttype"] == setting
    drawing = (tmp_path / "picture.svg").read_text()
    assert "part of the cells</text>" in drawing
    pdf = (tmp_path / "picture.pdf").read_bytes()
    assert b"/Type3" not in pdf
    assert b"/CIDFontType2" in pdf


def test_lines_differ_by_more_than_their_colour():
    pytest.importorskip("matplotlib")
    ax = memcore.plot.cumulative(memcore.devices["ideal"]())
    assert len({line.get_linestyle() for line in ax.lines}) == 2


# -- schedules -------------------------------------------------------------------------------------


def test_a_timeline_has_a_row_for_each_stage_and_a_bar_for_each_span():
    spans = [
        memcore.Span(stage=stage, item=item, start=item + n, end=item + n + 1.0)
        for item in range(3)
        for n, stage in enumerate(("first", "last"))
    ]
    ax = plot.timeline(memcore.Timeline(tuple(spans)), unit="cycles")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "last"]
    assert [len(bars.get_paths()) for bars in ax.collections] == [3, 3]
    starts = [path.get_extents().x0 for path in ax.collections[1].get_paths()]
    assert starts == [1, 2, 3]
    assert ax.get_xlabel() == "time / cycles"


def test_a_timeline_without_stages_is_refused():
    with pytest.raises(memcore.ConfigError, match=r"has 0 stages; expected 1 to 60"):
        plot.timeline(memcore.Timeline())
