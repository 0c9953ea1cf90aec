"""What the cells of a study live through between their writing and the evaluation."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError
from torch import nn

from memcore.contracts.effect import NonIdeality
from memcore.contracts.records import Stage
from memcore.contracts.units import MOST_KELVIN
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import NoEffectWarning, StudyError, warn
from memcore.nn.verbs import age
from memcore.registry.specs import provided_name
from memcore.study.progress import lasting

Amount = Annotated[float, Strict(), Field(ge=0, le=1e300, allow_inf_nan=False)]
Kelvin = Annotated[float, Strict(), Field(gt=0, le=MOST_KELVIN, allow_inf_nan=False)]


class Life(BaseModel):
    """One life: what passes, and how hot it is; `temperature` is part of the crossbars."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    age: Amount = 0.0
    cycles: Amount = 0.0
    reads: Amount = 0.0
    age_temperature: Kelvin | None = None

    @property
    def passes(self) -> bool:
        """Whether anything passes."""
        return bool(self.age or self.cycles or self.reads)

    def __str__(self) -> str:
        """What passes, in words; empty for nothing."""
        parts = [lasting(self.age)] if self.age else []
        parts += [f"{self.cycles:g} cycles"] if self.cycles else []
        parts += [f"{self.reads:g} reads"] if self.reads else []
        hot = f" at {self.age_temperature:g} K" if parts and self.age_temperature else ""
        return " and ".join(parts) + hot

    def pass_over(self, chip: nn.Module) -> None:
        """Let it pass over a converted network.

        Warns:
            NoEffectWarning: something passes and nothing that is configured changes with it.
        """
        if self.passes:
            age(
                chip,
                seconds=self.age,
                cycles=self.cycles,
                reads=self.reads,
                temperature=self.age_temperature,
            )


#: The settings that a sweep can move beside those of `[crossbar]`.
CONDITIONS: Final = tuple(Life.model_fields)


def life(settings: Mapping[str, Any], what: str) -> Life:
    """Check the settings of a life.

    Raises:
        StudyError: one is no number that can pass; `what` names the place.
    """
    try:
        return Life.model_validate(dict(settings))
    except ValidationError as error:
        (key, *_), problem = error.errors()[0]["loc"], error.errors()[0]
        raise StudyError(
            f"{what}: {key} = {problem['input']!r}: {problem['msg'][:1].lower()}"
            f"{problem['msg'][1:]}"
        ) from None


def warn_if_nothing_passes(
    what: str, lives: Iterable[Life], configs: Iterable[CrossbarConfig]
) -> None:
    """Say which effects of a sweep wait in vain for time, cycles or reads.

    Warns:
        NoEffectWarning: no point lets anything pass, and an effect or a temperature needs it.
    """
    every = list(lives)
    if any(each.passes for each in every):
        return
    names = dict.fromkeys(provided_name(effect) for effect in waiting(configs))
    if any(each.age_temperature is not None for each in every):
        names["age_temperature"] = None
    if names:
        warn(
            f"{what}: {', '.join(names)} had no effect, since nothing passes before the "
            "evaluation; give age, cycles or reads in [study], or make them an axis",
            NoEffectWarning,
        )


def waiting(configs: Iterable[CrossbarConfig]) -> list[NonIdeality]:
    """The effects that do something only once time, cycles or reads have passed.

    Those of single lanes are among them, those of devices are not, which no one has asked for.
    """
    kinds = [kind for config in configs for kind in config.of_lanes or (config,)]
    found = {id(effect): effect for kind in kinds for effect in _asked_for(kind) if _ages(effect)}
    return list(found.values())


def _asked_for(config: CrossbarConfig) -> Iterator[NonIdeality]:
    """The effects of a configuration beside those of its device, those left out aside."""
    for effect in config.effects.values():
        if any(effect is each for each in config.nonidealities):
            yield effect


def _ages(effect: NonIdeality) -> bool:
    neutral = {name: getattr(effect, name) == value for name, value in effect.neutral.items()}
    return effect.stage is Stage.AGE and not (neutral and all(neutral.values()))
