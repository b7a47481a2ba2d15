"""A :class:`~fraud_ml.scenario.Scenario` as TOML: the form that people write."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import tomllib
import types
import typing
from typing import Any

from fraud_ml.scenario import KINDS, Fraud, Scenario

_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
_WORDS |= {dt.date: "a date, as 2018-04-01"}


def scenario_from_toml(text: str) -> Scenario:
    """The scenario that ``text`` says; where it leaves out a setting, the default.

    Keys are the fields of the dataclasses in :mod:`fraud_ml.scenario`; each ``[[frauds]]`` has a
    ``kind`` too.

    Raises:
        ValueError: ``text`` is no TOML, or no scenario: which key, and what is allowed.
    """
    # tomllib.TOMLDecodeError is a ValueError that names the line.
    scenario: Scenario = _part(Scenario, tomllib.loads(text), "")
    return scenario


def scenario_to_toml(scenario: Scenario) -> str:
    """TOML that :func:`scenario_from_toml` turns back into an equal scenario, all keys given."""
    return "\n".join(_lines(scenario, "")).strip() + "\n"


def _part(kind: type[Any], given: Any, path: str) -> Any:
    """A dataclass ``kind`` of the table ``given``, which lies at ``path`` in the file."""
    if not isinstance(given, dict):
        raise ValueError(f"{path}: must be a table, got {given!r}")
    known = typing.get_type_hints(kind)
    for key in given:
        if key not in known:
            raise ValueError(
                f"{_at(path, key)}: unknown key; {path or 'a scenario'} may have"
                f" {', '.join(sorted(known))}"
            )
    values = {key: _value(known[key], value, _at(path, key)) for key, value in given.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}" if path else str(error)) from None


def _value(kind: Any, given: Any, path: str) -> Any:
    if typing.get_origin(kind) is tuple:
        if not isinstance(given, list):
            raise ValueError(f"{path}: must be a list of tables, [[{path}]], got {given!r}")
        of = typing.get_args(kind)[0]
        return tuple(_value(of, it, f"{path}[{number}]") for number, it in enumerate(given))
    if kind == Fraud:
        return _fraud(given, path)
    if isinstance(kind, types.UnionType):  # X | None: TOML has no null, so it is an X
        kind = next(it for it in typing.get_args(kind) if it is not type(None))
    if dataclasses.is_dataclass(kind):
        return _part(typing.cast(type[Any], kind), given, path)
    if kind is float and type(given) is int:
        return float(given)
    if type(given) is not kind:  # by identity: True is no whole number, a time is no date
        raise ValueError(f"{path}: must be {_WORDS[kind]}, got {given!r}")
    return given


def _fraud(given: Any, path: str) -> Any:
    if not isinstance(given, dict):
        raise ValueError(f"{path}: must be a table, got {given!r}")
    rest = dict(given)
    kind = rest.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"{path}.kind: must be one of {', '.join(KINDS)}, got {kind!r}")
    return _part(KINDS[kind], rest, path)


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _lines(part: Any, path: str) -> list[str]:
    """Of a table that lies at ``path``: its own keys first, then the tables in it."""
    values = {it.name: getattr(part, it.name) for it in dataclasses.fields(part)}
    here, below = [], []
    for name, value in values.items():
        at = _at(path, name)
        if isinstance(value, tuple):
            if not value:
                here.append(f"{name} = []")
            for item in value:
                below += ["", f"[[{at}]]", *_kind(item), *_lines(item, at)]
        elif dataclasses.is_dataclass(value):
            below += ["", f"[{at}]", *_lines(value, at)]
        elif value is not None:
            here.append(f"{name} = {_text(value)}")
    return here + below


def _kind(part: Any) -> list[str]:
    return [f'kind = "{name}"' for name, kind in KINDS.items() if type(part) is kind]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes are TOML's too, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
