"""The one way to define a parameter: its type, default, unit, range and meaning in one place.

Each stage owns a ``Params`` class; ``recipe.Recipe`` is composed of them, and so is ``training.TrainingParams``.
"""

from __future__ import annotations

import difflib
import json
import math
import reprlib
from inspect import cleandoc
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

HUGE = 10**300
"""Whole numbers beyond this don't fit into a float."""


def param(default: Any, unit: str, text: str, *, low: float | None = None, high: float | None = None) -> Any:
    """Define one parameter. ``low`` and ``high`` are inclusive and hold for each end of an interval too."""
    return Field(default, description=text, json_schema_extra={"unit": unit, "low": low, "high": high})


def _as_tuple(value: Any) -> Any:
    """TOML has lists only; inside, an interval is a pair of floats."""
    if isinstance(value, (list, tuple)) and all(type(number) in (int, float) for number in value):
        return tuple(float(number) if abs(number) < HUGE else number for number in value)
    return value


Interval = Annotated[tuple[float, float], BeforeValidator(_as_tuple)]


def whole_ends(value: tuple[float, float]) -> tuple[float, float]:
    """For intervals that are counted: refuses fractions."""
    if any(number % 1 for number in value):
        raise ValueError("these are counted: give whole numbers")
    return value


def mix_of(*kinds: str) -> Any:
    """The type of a parameter that mixes ``kinds``: how often each is drawn, relative to the others.

    Kept without zeros and in the order of ``kinds``, so that equal mixes are equal recipes.
    """

    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"give the kinds and how often each is drawn, as {{ {kinds[0]} = 1.0 }}")
        for kind, weight in value.items():
            if kind not in kinds:
                raise ValueError(f'unknown kind "{kind!s:.40}"; {suggest(str(kind), list(kinds))}')
            if type(weight) not in (int, float) or not 0 <= weight <= HUGE:
                raise ValueError(f"{kind} is {weight!r:.40}: give a number, 0 or more")
        if not any(value.values()):
            raise ValueError("no kind is left: give at least one of them a number above 0")
        return {kind: float(value[kind]) for kind in kinds if value.get(kind)}

    return Annotated[dict[str, float], BeforeValidator(check)]


def draw_from(mix: dict[str, float], number: float) -> str:
    """The kind of ``mix`` that a uniform ``number`` in [0, 1) falls on."""
    left = number * sum(mix.values())
    for kind, weight in mix.items():
        left -= weight
        if left < 0:
            return kind
    return kind


def suggest(text: str, known: list[str]) -> str:
    """ "did you mean", or all that is known."""
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else f"known are {', '.join(known)}"


class Params(BaseModel):
    """Frozen and strict: unknown keys, wrong types, NaN, reversed intervals and values out of range are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Let ``help`` tell what each parameter means."""
        cls.__doc__ = "\n".join([cleandoc(cls.__doc__ or ""), "", "Attributes", "----------", *_field_lines(cls)])

    @field_validator("*")
    @classmethod
    def _within_range(cls, value: Any, info: ValidationInfo) -> Any:
        extra = cls.model_fields[info.field_name].json_schema_extra or {}
        low, high = extra.get("low"), extra.get("high")
        numbers = value if isinstance(value, tuple) else () if isinstance(value, dict) else (value,)
        if isinstance(value, tuple) and value[0] > value[1]:
            raise ValueError("the range is reversed: the first number is above the second; swap the two")
        for number in numbers:
            if (low is not None and number < low) or (high is not None and number > high):
                bounds = f"{-math.inf if low is None else low:g} to {math.inf if high is None else high:g}"
                shown = f"{number:g}" if abs(number) < HUGE else "this number"
                raise ValueError(f"{shown} is out of range, allowed is {bounds} {extra['unit']}".rstrip())
        return value


def _field_lines(params: type[Params]) -> list[str]:
    """Name, default, range, unit and meaning of each parameter."""
    lines = []
    for name, field in params.model_fields.items():
        extra = field.json_schema_extra
        if extra is None:  # a section of the recipe
            lines.append(f"{name} : {field.annotation.__name__}")
            continue
        bounds = [] if extra["low"] is None else [f"{extra['low']:g} to {extra['high']:g} {extra['unit']}".rstrip()]
        lines += [f"{name} : {', '.join([*bounds, f'default {field.default!r}'])}", f"    {field.description}"]
    return lines


# As files ------------------------------------------------------------------------------------------------------------


def to_toml(params: Params) -> str:
    """TOML that reads back as ``params``: plain values first, then a table for each section, with what each means."""
    plain = [f"{key} = {_toml_value(value)}" for key, value in params if not isinstance(value, Params)]
    for section, value in params:
        if isinstance(value, Params):
            plain += ["", f"[{section}]", *_toml_lines(value)]
    return "\n".join(plain) + "\n"


def _toml_value(value: Any) -> str:
    """JSON is TOML but for three things: escaped surrogate pairs, a bare DEL, and tables."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml_value(one)}' for key, one in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_lines(params: Params) -> list[str]:
    lines = []
    for key, value in params.model_dump(mode="json").items():
        definition = type(params).model_fields[key]
        extra = definition.json_schema_extra
        bounds = f"{extra['low']:g} to {extra['high']:g}" if extra["low"] is not None else ""
        scale = " ".join(part for part in (bounds, extra["unit"]) if part)
        lines.append(f"{key} = {_toml_value(value)}  # {definition.description}{f' [{scale}]' if scale else ''}")
    return lines


def changed(params: Params, changes: dict[str, Any]) -> dict[str, Any]:
    """The values of ``params`` with dotted keys changed, not yet validated. ValueError for a key of no section."""
    values = params.model_dump(mode="json")
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        holder = values.setdefault(section, {}) if section else values
        if not isinstance(holder, dict):
            raise ValueError(f'unknown key "{key}"; {suggest(section, known_keys(type(params), []))}')
        holder[name] = value
    return values


def first_fault(kind: type[Params], error: ValidationError | RecursionError, advice: str) -> str:
    """The first thing that is wrong with values for ``kind``, by its dotted key, with what to do."""
    if isinstance(error, RecursionError):
        return f"nested too deeply; {advice}"
    fault = error.errors(include_url=False, include_context=False)[0]
    path = [str(part) for part in fault["loc"]]
    key = ".".join(path)
    if fault["type"] == "extra_forbidden":
        return one_line(f'unknown key "{key}"; {suggest(path[-1], known_keys(kind, path[:-1]))}')
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] != "value_error":
        message += f", not {reprlib.repr(fault['input']):.60}"
    return one_line(f"{key}: {message}" if key else message)


def known_keys(kind: type[Params], sections: list[str]) -> list[str]:
    """The keys of a section."""
    for section in sections:
        kind = kind.model_fields[section].annotation
    return list(kind.model_fields)


def one_line(message: object) -> str:
    """The beginning of a message, without line breaks."""
    return " ".join(str(message).split())[:300]
