"""What all settings have in common: they are checked when they are made, and a wrong one is told in a sentence."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from embedseg_napari.core.errors import EmbedSegError, SettingsError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LONGEST_SHOWN = 60
"""Characters of a wrong value that a sentence repeats."""

WORDS = {
    "a integer": "a whole number",
    "an integer": "a whole number",
    "a tuple": "a list of numbers",
    "a boolean": "true or false",
    "a dictionary": "a table of values",
}
"""Types as people call them."""

Positive = Annotated[float, Field(gt=0, lt=1e12)]
Amount = Annotated[float, Field(ge=0, lt=1e18)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
PositivePerAxis = Annotated[tuple[Positive, ...], Field(max_length=3)]
"""One positive number per axis (z, y, x)."""
AmountPerAxis = Annotated[tuple[Amount, ...], Field(max_length=3)]


def gigabytes(value: Any) -> Any:
    """Read an amount of memory such as ``"4GB"`` or ``"500MB"`` as gigabytes; a plain number is one of gigabytes."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?)(i?b)?\s*", value.lower())
    if found is None:
        raise ValueError("must be an amount of memory such as 4GB or 500MB")
    return float(found[1]) * {"k": 1e-6, "m": 1e-3, "": 1.0, "g": 1.0, "t": 1e3}[found[2]]


Gigabytes = Annotated[float, BeforeValidator(gigabytes), Field(gt=0, lt=1e9)]
PixelsPerAxis = Annotated[
    tuple[Annotated[int, Field(ge=8, le=65536, multiple_of=8)], ...], Field(min_length=2, max_length=3)
]
"""Sides of tiles and crops: multiples of 8, per axis (z, y, x)."""


class Settings(BaseModel):
    """Base of all settings: immutable, unknown names are refused."""

    # Checks are compiled with the first use: half of a command's settings are not looked at.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @classmethod
    def parse(cls, values: Any) -> Self:
        """Validate a dictionary, turning pydantic's report into one sentence.

        Raises
        ------
        SettingsError
            Naming the first setting that does not fit, and why.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise SettingsError(complaint(error, cls)) from error


def require_kind(value: object, kind: type | tuple[type, ...], what: str) -> None:
    """Refuse an argument of another kind; `what` names it and says how it is made.

    Raises
    ------
    SettingsError
        If it is of another kind.
    """
    if not isinstance(value, kind):
        raise SettingsError(f"{what}, not {shown(value)}.")


def require_functions(**arguments: object) -> None:
    """Refuse arguments that shall be called and cannot be; None is none.

    Raises
    ------
    SettingsError
        Naming the first one.
    """
    for name, value in arguments.items():
        if value is not None and not callable(value):
            raise SettingsError(f"{name} takes a function, not {shown(value)}.")


def positive_numbers(values: object, what: str, error: type[EmbedSegError] = SettingsError) -> tuple[float, ...]:
    """Return the numbers of a sequence as a tuple.

    Raises
    ------
    EmbedSegError
        Of the kind `error`, if it holds anything but positive, finite numbers.
    """
    try:
        numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if not numbers or not all(0 < number < float("inf") for number in numbers):
        raise error(f"{what} needs a list of positive numbers, such as (0.5, 0.1, 0.1), not {shown(values)}.")
    return numbers


def complaint(error: ValidationError, settings: type[BaseModel] | None = None) -> str:
    """Tell the first fault of a report in a sentence: the setting, what it may be, and what it was.

    Parameters
    ----------
    error : ValidationError
        Pydantic's report.
    settings : type, optional
        What was validated; its names are looked through for one that was meant.
    """
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"There is no setting {shown(name)}{_meant(str(first['loc'][-1]), _names(settings, first))}."
    why = reason(first)
    return f"Setting {shown(name)}: {why}." if name else f"Settings: {why}."


def reason(fault: ErrorDetails) -> str:
    """What is wrong with a value, without full stop: what it should be, and what it was."""
    kind, text = fault["type"], str(fault["msg"]).removeprefix("Input ").rstrip(".")
    if kind == "value_error":
        return text.removeprefix("Value error, ")
    if kind == "missing":
        return "is missing"
    if kind in ("too_short", "too_long"):
        context = fault["ctx"]
        limit, most = ("at least", context["min_length"]) if kind == "too_short" else ("at most", context["max_length"])
        return f"has {context['actual_length']} values, but should have {limit} {most}"
    # "should be a valid integer, unable to parse string as an integer": how it was tried is of no use to a reader.
    text = re.sub(r",? (unable to|got a number with|or instance of).*", "", text.replace("a valid ", "a "))
    for pydantics, ours in WORDS.items():
        text = text.replace(pydantics, ours)
    value = fault["input"]
    choices = re.findall(r"'([^']*)'", text) if kind == "literal_error" and isinstance(value, str) else []
    return f"{text}, not {shown(value)}{_meant(value, choices) if choices else ''}"


def _names(settings: type[BaseModel] | None, fault: ErrorDetails) -> list[str]:
    """Names at the place of a fault; none where that is no table of settings."""
    for part in fault["loc"][:-1]:
        field = None if settings is None else settings.model_fields.get(str(part))
        kind = None if field is None else field.annotation
        settings = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return [] if settings is None else list(settings.model_fields)


def _meant(word: str, known: list[str]) -> str:
    close = get_close_matches(word[:LONGEST_SHOWN], known, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def shown(value: object) -> str:
    """Write a value as a sentence repeats it: not without end, whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        # An integer of thousands of digits, or a nest without end.
        return "this value"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
