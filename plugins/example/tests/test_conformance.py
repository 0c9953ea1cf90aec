"""What memcore asks of every plugin of a kind."""

from memcore_example.column_gain import ExampleColumnGain
from memcore_example.gated import MemristiveGatedLinear
from memcore_example.rram import ExampleRram
from memcore_example.synapse import ExampleSynapse
from memcore_example.two_speeds import ExampleTwoSpeeds

from memcore.testing import parametrize_with_checks


@parametrize_with_checks(
    ExampleRram(),
    ExampleRram(r_off=1e6, v_0=0.05),
    ExampleSynapse(),
    ExampleSynapse.preset("fine"),
    ExampleColumnGain(),
    ExampleTwoSpeeds(),
    MemristiveGatedLinear,
)
def test_conforms(check):
    check()
