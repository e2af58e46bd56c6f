"""Plain mappings, as YAML gives them, into frozen dataclasses, strictly."""

import types
from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from catfish.errors import ConfigError


def build(cls: type, values: Any, where: str) -> Any:
    """An instance of the dataclass `cls` from a mapping.

    `where` is the dotted path of `values` in its file, for messages.
    Raises ConfigError for an unknown key, a missing key, or a value of another type than the field's annotation.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected a mapping of keys to values, found {values!r}")
    hints = get_type_hints(cls)
    known = {field.name: field for field in fields(cls)}
    check_keys(values, known, where)
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where}.{name}: missing; add it (a value of type {_name(hints[name])})")
    return cls(**{key: _convert(value, hints[key], f"{where}.{key}") for key, value in values.items()})


def check_keys(values: Iterable, known: Iterable[str], where: str) -> None:
    """Raises ConfigError for the first of `values` that is not a known key."""
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}.{key}: unknown key; allowed here: {', '.join(known)}")


def exponent_hint(value: Any) -> str:
    """What to add to the message about a text that was meant as a number such as 1e-4; empty for anything else."""
    if isinstance(value, str) and "e" in value.lower() and any(character.isdigit() for character in value):
        return "; YAML reads an exponent only after a dot and with a sign: 1.0e-4"
    return ""


def _convert(value: Any, kind: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)), where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where}: {value!r} is not allowed; allowed: {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where}: expected a list, found {value!r}")
        return tuple(_convert(item, arguments[0], f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a mapping, found {value!r}")
        return {key: _convert(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if is_dataclass(kind):
        return value if isinstance(value, kind) else build(kind, value, where)
    return _scalar(value, kind, where)


def _scalar(value: Any, kind: type, where: str) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        hint = exponent_hint(value) if kind is float else ""
        raise ConfigError(f"{where}: expected {kind.__name__}, found {value!r} ({type(value).__name__}){hint}")
    return value


def _name(kind: Any) -> str:
    """How a message calls a type: a Literal by its values."""
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    return kind.__name__ if isinstance(kind, type) else str(kind)
