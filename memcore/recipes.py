"""Published recipes of hardware-aware training, each as one configuration."""

from typing import Any

from memcore._keywords import hint_all
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.training import LearnedRange, Rehearsal
from memcore.registry.specs import PluginSpec, plugin

__all__ = ["analog_foundation_models", "rasch_2023"]


def rasch_2023(
    device: PluginSpec = "pcm_hermes", *, weight_noise: float = 0.0175, **settings: Any
) -> CrossbarConfig:
    """Hardware-aware training as for diverse networks on phase-change memory.

    Rasch et al., "Hardware-aware training for large-scale and diverse deep learning inference
    workloads using in-memory computing-based accelerators", Nat. Commun. 14:5282 (2023): 8-bit
    converters, tiles of 512 lines, learned input ranges, outputs bounded at 10 times the current of
    the largest weight at the largest input, output noise of 4 % of that current. The recipe also
    remaps each column to the whole window and clips weights to it
    (`memcore.clip_weights(model, largest=1.0)` after each step), and compensates drift globally
    (`memcore.compensate`).

    Args:
        device: the memristor.
        weight_noise: standard deviation of the noise on weights, as a share of the largest one; the
            published setting has the read noise of phase-change memory there, 1.75 %.
        settings: other settings of `CrossbarConfig`.

    Examples:
        >>> memcore.recipes.rasch_2023(device="ideal").dac.bits
        8
    """
    training = Rehearsal(
        effects=(), weight_noise=weight_noise, output_noise=0.04, input_range=LearnedRange()
    )
    return _eight_bit(device, 10.0, training, settings)


def analog_foundation_models(
    device: PluginSpec = "pcm_hermes", *, weight_noise: float = 0.03, **settings: Any
) -> CrossbarConfig:
    """Hardware-aware training as for large language models.

    Büchel et al., "Analog Foundation Models", arXiv:2505.09663 (2025): 8-bit converters, learned
    input ranges that start from 18 standard deviations over 500 batches, outputs bounded at 14
    times the current of the largest weight at the largest input, noise on weights of 3 % of the
    largest of each channel. The recipe also clips weights to 2.5 standard deviations of their
    channel after each step (`memcore.clip_weights(model, sigmas=2.5)`) and distils the digital
    network, on text that it wrote itself, with Adam(betas=(0.9, 0.98), eps=1e-6), a rate of 5e-7
    and a weight decay of 0.01.

    Args:
        device: the memristor.
        weight_noise: standard deviation of the noise on weights, as a share of the largest one of
            each output.
        settings: other settings of `CrossbarConfig`.

    Examples:
        >>> memcore.recipes.analog_foundation_models(device="ideal").training.weight_noise
        0.03
    """
    training = Rehearsal(
        effects=(),
        weight_noise=weight_noise,
        weight_noise_per="channel",
        input_range=LearnedRange(sigmas=18.0, batches=500, decay=0.01),
    )
    return _eight_bit(device, 14.0, training, settings)


def _eight_bit(
    device: PluginSpec, bound: float, training: Rehearsal, settings: dict[str, Any]
) -> CrossbarConfig:
    """Tiles of 512 lines between converters of 8 bits, outputs bounded at `bound` weights."""
    memristor = plugin("devices", device)
    lowest, highest = memristor.nominal_range()
    volts = settings.get("read_voltage", CrossbarConfig.read_voltage)
    one = (highest - lowest) * volts  # A, of the largest weight at the largest input
    return CrossbarConfig(
        **{
            "device": memristor,
            "tile": (512, 512),
            "dac": {"name": "uniform", "bits": 8, "symmetric": True},
            "adc": {"name": "uniform", "bits": 8, "full_scale": bound * one},
            "training": training,
            **settings,
        }
    )


hint_all(globals(), __all__)
