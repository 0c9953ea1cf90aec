"""What a sweep varies: axes with values or ranges, and which of their settings make its points."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from memcore.errors import ConfigError
from memcore.study.designs import require_design, require_range, spread_out
from memcore.study.training import Whole

Scalar = bool | int | float | str
Scale = Literal["auto", "linear", "log", "category"]
#: Columns of the CSV that an axis cannot be named after.
RESERVED = ("sweep", "chips", "samples", "baseline", "mean", "ci95", "low", "high", "drop")
NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
LARGEST = 1e300  # of what is plotted and multiplied
LONGEST = 100  # characters of a name, which becomes part of the names of files


#: How a table of a study is checked: an unknown key is an error.
TABLE: Final = ConfigDict(extra="forbid", frozen=True, strict=False)


class _Section(BaseModel):
    model_config = TABLE


def _factor(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | list | tuple):
        raise ConfigError("a path is moved by a number or to a list of settings")
    return value


Factor = Annotated[int | float | tuple[Any, ...], BeforeValidator(_factor)]


class Axis(_Section):
    """One quantity that a sweep varies.

    Attributes:
        values: values of the axis, in order. A list, such as the two sizes of a `tile`, is shown as
            "16 x 16".
        range: lowest and highest value in place of values, for a quasi-random design, which chooses
            these; two whole numbers give whole numbers.
        label: label in the plot and the table; the name of the axis when empty.
        unit: unit shown behind the label.
        scale: scale of the axis in the plot.
        moves: dotted paths into `[crossbar]`, or `age`, `cycles`, `reads`, `temperature`,
            `age_temperature` of `[study]`, `in_place.KEY` or `compress.KEY`, each with a factor
            (the path gets value x factor) or with a list (the path gets the entry beside the
            value); all move together.
    """

    values: tuple[Scalar, ...] = ()
    range: tuple[int | float, int | float] | None = None
    label: str = ""
    unit: str = ""
    scale: Scale = "auto"
    moves: dict[str, Factor] = {}

    @field_validator("values", mode="before")
    @classmethod
    def _are_shown(cls, values: Any) -> Any:
        if not isinstance(values, list | tuple):
            return values
        for value in values:
            if isinstance(value, Mapping):
                raise ConfigError(
                    f"the value {dict(value)!r} is a table; give a word for each here, and the "
                    "tables in moves = { path = [...] }"
                )
        return [_shown(value) if isinstance(value, list | tuple) else value for value in values]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.values and self.range is None:
            raise ConfigError("values is empty; expected at least one, or a range")
        numbers = all(_is_number(value) for value in self.values)
        for value in self.values:
            if _is_number(value) and not abs(value) <= LARGEST:  # type: ignore[arg-type]
                raise ConfigError(f"the value {value} is no finite number")
        if self.scale in ("log", "linear") and not numbers:
            raise ConfigError(
                f"scale {self.scale!r} of the values {list(self.values)}, which are not all "
                'numbers; expected "category" or "auto"'
            )
        if self.scale == "log" and not all(value > 0 for value in self.values):  # type: ignore[operator]
            raise ConfigError(
                f'scale "log" of the values {list(self.values)}; expected numbers above 0'
            )
        if self.range is not None:
            require_range(self.range, log=self.scale == "log")
        for path, move in self.moves.items():
            if isinstance(move, tuple) and self.range is not None:
                raise ConfigError(
                    f"moves {path!r} to a list of settings; with a range, give a factor"
                )
            if isinstance(move, tuple) and len(move) != len(self.values):
                raise ConfigError(
                    f"moves {path!r} to {len(move)} settings, but there are "
                    f"{len(self.values)} values; expected one for each"
                )
            if not isinstance(move, tuple) and not numbers:
                raise ConfigError(
                    f"moves {path!r} by the factor {move}, but the values {list(self.values)} "
                    "are not all numbers; give a list of settings instead"
                )
        return self

    def settings(self, position: int) -> dict[str, Any]:
        """The setting of each path at `values[position]`."""
        value = self.values[position]
        return {path: _moved(value, move, position) for path, move in self.moves.items()}


class Sweep(_Section):
    """One `[[sweep]]`: a panel of the plot and a part of the table.

    Attributes:
        name: name of the sweep and of its files.
        title: title of the panel; the name when empty.
        note: line under the title of the panel; the effects that are on when empty.
        axes: axes by name; several make a full grid. A dotted path with a list of values is the
            short form of an axis that moves this one path.
        design: which settings of several axes make points: "grid", every combination; "listed", the
            first values of all axes, the second ones, and so on; "quasi_random", evenly spread over
            the ranges of the axes.
        points: number of points of a quasi-random design.
        set: the same paths, set for the whole sweep before the axes move.
    """

    name: str = Field(pattern=NAME, max_length=LONGEST)
    title: str = ""
    note: str = ""
    axes: dict[str, Axis] = {}
    design: Literal["grid", "listed", "quasi_random"] = "grid"
    points: Whole | None = Field(default=None, ge=1, le=100_000)
    set: dict[str, Any] = {}

    @model_validator(mode="after")
    def _is_designed(self) -> Self:
        random = self.design == "quasi_random"
        require_design(self.design, self.points, self.axes)
        if random and self.points is not None:
            spread = spread_out(self.axes, self.points)
            for name, axis in self.axes.items():
                _require_either(name, axis, spread[name])
            axes = {n: a.model_copy(update={"values": spread[n]}) for n, a in self.axes.items()}
            self.__dict__["axes"] = axes  # of a frozen model, whose values are chosen here
        return self

    @field_validator("axes", mode="before")
    @classmethod
    def _short_forms(cls, axes: Any) -> Any:
        if not isinstance(axes, Mapping):
            return axes
        taken = [name for name in axes if name in RESERVED]
        if taken:
            raise ConfigError(f"an axis cannot be named {taken[0]!r}, which is a column of the CSV")
        return {name: _axis(name, axis) for name, axis in axes.items()}


def _require_either(name: str, axis: Axis, chosen: tuple[Scalar, ...]) -> None:
    """Refuse values beside a range, unless they are those that were chosen from it before."""
    if axis.values and axis.values != chosen:
        raise ConfigError(
            f"the axis {name!r} has the values {list(axis.values)} and the range "
            f"{list(axis.range or ())}; expected one of them"
        )


def _axis(name: str, axis: Any) -> Any:
    if isinstance(axis, Axis):
        return axis
    if isinstance(axis, list | tuple):
        axis = {"values": axis}
    if not isinstance(axis, Mapping) or axis.get("moves"):
        return axis
    if axis.get("range") is not None:
        return {**axis, "moves": {name: 1}}
    values = axis.get("values", [])
    return {**axis, "moves": {name: values}} if isinstance(values, list | tuple) else axis


def _shown(value: Any) -> str:
    """A list in the form for reading, such as 16 x 16."""
    sizes = all(isinstance(each, int) for each in value)
    return (" x " if sizes else ", ").join(map(str, value))


def _moved(value: Scalar, move: Any, position: int) -> Any:
    if isinstance(move, tuple):
        return move[position]
    if isinstance(value, int) and isinstance(move, int):
        return value * move
    # 0.1 * 3 is 0.30000000000000004; nobody means the last digits.
    return float(f"{float(value) * float(move):.12g}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
