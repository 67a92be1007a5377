"""Errors in one line: of exceptions that cannot be shown, and of everything that pydantic finds."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, field_validator

from l2obench.foundation.errors import (
    LONGEST_REASON,
    MOST_FINDINGS,
    describe_error,
    describe_findings,
    describe_message,
)


class Inner(BaseModel, extra="forbid"):
    task: str
    seeds: int | None = Field(default=None, ge=1)


class Settings(BaseModel, extra="forbid"):
    lr: float = Field(default=0.1, gt=0)
    names: list[str] = Field(default=["one"], min_length=1)
    tasks: list[Inner] = []
    base: Inner | None = None

    @field_validator("lr")
    @classmethod
    def _no_thirteen(cls, value: float) -> float:
        if value == 13:
            raise ValueError("13 brings no luck; take 12")
        return value


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message for you")


def findings(values: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Settings(**values)
    return describe_findings(caught.value, Settings, "key")


@given(st.text())
def test_whatever_an_exception_says_is_one_short_line(message: str) -> None:
    for line in (describe_error(ValueError(message)), describe_message(ValueError(message))):
        assert line
        assert len(line.splitlines()) == 1
        assert len(line) <= LONGEST_REASON
    assert describe_error(ValueError(message)).startswith("ValueError:")


def test_an_exception_whose_message_fails_still_has_a_line() -> None:
    assert describe_error(Unspeakable()) == "Unspeakable: its message cannot be shown"
    assert describe_message(Unspeakable()) == "Unspeakable"


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"lr": -1}, "lr must be greater than 0, got -1"),
        ({"lr": 13}, "lr: 13 brings no luck; take 12"),
        ({"names": []}, "names must have at least 1 item after validation, not 0, got []"),
        ({"tasks": [{}]}, "tasks.0.task is required"),
        ({"q": 1}, "no key is called 'q'. Known: base, lr, names, tasks"),
        ({"tasks": [{"task": "a", "seed": 1}]}, "tasks.0: no key is called 'seed'. Did you mean seeds? Known: seeds, "),
        ({"base": {"task": "a", "taks": 1}}, "base: no key is called 'taks'. Did you mean task? Known: seeds, task"),
    ],
)
def test_a_finding_says_what_was_expected_and_what_came(values: dict[str, Any], line: str) -> None:
    assert findings(values).startswith(line)


def test_findings_are_counted_where_there_are_too_many() -> None:
    line = findings({"tasks": [{}] * (MOST_FINDINGS + 7)})
    assert line.count("is required") == MOST_FINDINGS
    assert line.endswith("; and 7 more")


def test_long_input_is_cut() -> None:
    assert len(findings({"lr": "9" * 10_000 + "x"})) < 300


def test_pydantics_errors_inside_a_message_are_their_findings() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(lr=-1)
    assert describe_message(caught.value) == "lr must be greater than 0, got -1"
