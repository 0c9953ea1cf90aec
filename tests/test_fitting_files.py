"""Measured files say what they mean, or are refused with the line that does not."""

import pytest
import torch

from memcore import ConfigError, fitting

COLUMNS = {"time": "t", "voltage": "V", "current": "I"}
UNITS = {"time": "s", "voltage": "V", "current": "uA"}


def loop(path, text):
    path.write_text(text)
    return fitting.IVData.from_csv(path, columns=COLUMNS, units=UNITS)


@pytest.mark.parametrize("header", ["t,V,I", "t,V,I,,"])
def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path, header):
    """Decimal commas between commas would shift 0,187381315 into two columns."""
    text = f"{header}\n0,0,0\n20,0,187381315,19,5050864\n40,1,5\n"
    with pytest.raises(ConfigError, match=r"line 3 has 5 cells, the header 3;.*decimal commas"):
        loop(tmp_path / "iv.csv", text)


def test_blank_cells_at_the_end_of_a_row_mean_nothing(tmp_path):
    found = loop(tmp_path / "iv.csv", "t,V,I\n0,0,0,\n1,2,3, ,\n2,3,4\n")
    assert torch.equal(found.voltage, torch.tensor([0.0, 2.0, 3.0]).double())
