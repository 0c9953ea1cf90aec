"""What memcore asks of every device and every non-ideality."""

from memcore_example.column_gain import ExampleColumnGain
from memcore_example.rram import ExampleRram
from memcore_example.synapse import ExampleSynapse

from memcore.testing import parametrize_with_checks


@parametrize_with_checks(
    ExampleRram(),
    ExampleRram(r_off=1e6, v_0=0.05),
    ExampleSynapse(),
    ExampleSynapse.preset("fine"),
    ExampleColumnGain(),
)
def test_conforms(check):
    check()
