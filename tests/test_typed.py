from dataclasses import dataclass, field
from typing import Literal

import pytest

from catfish.errors import ConfigError
from catfish.typed import build


@dataclass(frozen=True)
class Inner:
    size: int


@dataclass(frozen=True)
class Outer:
    rate: float
    kind: Literal["a", "b"]
    count: int | None
    flag: bool = False
    steps: tuple[int, ...] = ()
    inner: Inner = Inner(1)
    named: dict[str, tuple[float, ...]] = field(default_factory=dict)
    option: Literal["x"] | None = None


VALID = {"rate": 0.5, "kind": "a", "count": None}


def test_values_and_defaults():
    assert build(Outer, VALID, "file") == Outer(0.5, "a", None)


def test_every_kind_of_field_is_converted():
    values = {"rate": 2, "kind": "b", "count": 3, "flag": True, "steps": [1, 2], "inner": {"size": 4},
              "named": {"one": [1, 0.5]}, "option": "x"}  # fmt: skip
    built = build(Outer, values, "file")
    assert built == Outer(2.0, "b", 3, True, (1, 2), Inner(4), {"one": (1.0, 0.5)}, "x")
    assert type(built.rate) is float and type(built.named["one"][0]) is float


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rat": 1}, "file.rat: unknown key; allowed here: rate, kind, count, flag, steps, inner, named, option"),
        ({"inner": {"sise": 1}}, "file.inner.sise: unknown key; allowed here: size"),
        ({"inner": {}}, "file.inner.size: missing; add it (a value of type int)"),
        ({"inner": 3}, "file.inner: expected a mapping of keys to values, found 3"),
        ({"rate": "fast"}, "file.rate: expected float, found 'fast' (str)"),
        ({"rate": None}, "file.rate: expected float, found None (NoneType)"),
        ({"rate": True}, "file.rate: expected float, found True (bool)"),
        ({"count": True}, "file.count: expected int, found True (bool)"),
        ({"count": 1.0}, "file.count: expected int, found 1.0 (float)"),
        ({"flag": 1}, "file.flag: expected bool, found 1 (int)"),
        ({"flag": "yes"}, "file.flag: expected bool, found 'yes' (str)"),
        ({"kind": "c"}, "file.kind: 'c' is not allowed; allowed: a, b"),
        ({"kind": ["a"]}, "file.kind: ['a'] is not allowed; allowed: a, b"),
        ({"option": "y"}, "file.option: 'y' is not allowed; allowed: x"),
        ({"steps": 3}, "file.steps: expected a list, found 3"),
        ({"steps": "12"}, "file.steps: expected a list, found '12'"),
        ({"steps": [1, 2.5]}, "file.steps[1]: expected int, found 2.5 (float)"),
        ({"named": [1]}, "file.named: expected a mapping, found [1]"),
        ({"named": {"one": 1.0}}, "file.named.one: expected a list, found 1.0"),
        ({"named": {"one": [1, "2"]}}, "file.named.one[1]: expected float, found '2' (str)"),
    ],
)
def test_messages_name_key_value_and_what_is_allowed(changes, message):
    with pytest.raises(ConfigError) as error:
        build(Outer, VALID | changes, "file")
    assert str(error.value) == message


@pytest.mark.parametrize("key, kind", [("rate", "float"), ("kind", "a | b"), ("count", "int | None")])
def test_a_missing_key_is_named(key, kind):
    with pytest.raises(ConfigError) as error:
        build(Outer, {name: value for name, value in VALID.items() if name != key}, "file")
    assert str(error.value) == f"file.{key}: missing; add it (a value of type {kind})"


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "-2e3"])
def test_an_exponent_that_yaml_reads_as_text_gets_the_cure(text):
    with pytest.raises(ConfigError, match=rf"file.rate: expected float, found '{text}' \(str\); .* 1\.0e-4"):
        build(Outer, VALID | {"rate": text}, "file")


@pytest.mark.parametrize("key, text", [("rate", "twelve"), ("rate", "123"), ("count", "1e3")])
def test_no_other_text_gets_that_cure(key, text):
    with pytest.raises(ConfigError) as error:
        build(Outer, VALID | {key: text}, "file")
    assert "1.0e-4" not in str(error.value)


@pytest.mark.parametrize("values", [None, [], "rate: 1", 3])
def test_not_a_mapping(values):
    with pytest.raises(ConfigError, match="file: expected a mapping of keys to values, found "):
        build(Outer, values, "file")
