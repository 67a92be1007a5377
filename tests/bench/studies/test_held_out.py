"""Held out: new in architecture or data by the recipes that the checkpoints record, not by a name."""

import pandas as pd
import pytest

from l2obench.bench.config.identity import parse_identity
from l2obench.bench.studies.held_out import COLUMNS, KINDS, is_held_out, measure
from l2obench.optimizers import shipped_checkpoints
from l2obench.optimizers.learned.checkpoint import read_checkpoint
from l2obench.tasks.practice import KEPT_ASIDE
from tests.markdown import ROOT

REFERENCE = ROOT / "results" / "reference"


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(ROOT / "docs" / "held_out.csv")


def test_the_committed_table_is_that_of_the_recorded_recipes(table: pd.DataFrame) -> None:
    for row in table.to_dict("records"):
        found = is_held_out(row["task"], read_checkpoint(row["checkpoint"]).recipe)
        assert found == {column: row[column] for column in COLUMNS[2:]}, row


def test_the_table_has_every_task_that_a_checkpoint_ran_on(table: pd.DataFrame) -> None:
    runs = [REFERENCE / name for name in ("quick", "paper-cifar", "paper-art", "paper-peers", "general-practice")]
    listed = set(zip(table["checkpoint"], table["task"], strict=True))
    found = measure(runs)
    assert set(zip(found["checkpoint"], found["task"], strict=True)) <= listed
    assert set(table["checkpoint"]) <= set(shipped_checkpoints())


def test_another_name_is_not_held_out_if_architecture_and_data_are_known() -> None:
    assert not is_held_out("char-transformer", {"task": "char-attention"})["held_out"]
    assert is_held_out("mnist-mlp", {"task": "perceptron"}) == {
        "held_out": True,
        "new_architecture": False,
        "new_data": True,
        "validated_on": False,
    }


def test_a_kind_that_chose_the_checkpoint_is_not_held_out() -> None:
    recipe = {"task": "perceptron", "validation": ["cifar-cnn[channels=6]"]}
    found = is_held_out("cifar-cnn[channels=8]", recipe)
    assert found["new_architecture"]
    assert found["validated_on"]
    assert not found["held_out"]


def test_what_an_earlier_training_had_is_known() -> None:
    assert (
        is_held_out("quadratic[dim=20]", {"task": "logistic", "started_from": {"task": "quadratic"}})["held_out"]
        is False
    )


def test_labels_are_new_unless_all_were_trained_on() -> None:
    assert not is_held_out("cifar-cnn[labels=0-4]", {"task": "cifar-cnn"})["held_out"]
    assert is_held_out("cifar-cnn[labels=0-4]", {"task": "cifar-cnn[labels=5-9]"})["held_out"]


def test_kinds_kept_aside_are_held_out_for_every_checkpoint() -> None:
    aside = [name for name in KINDS if name in KEPT_ASIDE]
    assert aside
    for checkpoint in ("general", "general-rnnprop", "mnist", "quadratic"):
        recipe = read_checkpoint(checkpoint).recipe
        assert all(is_held_out(name, recipe)["held_out"] for name in aside)


def test_what_the_pages_call_a_transfer_is_one(table: pd.DataFrame) -> None:
    """The transfer matrix: no specialist had the other families, and each had its own."""
    specialists = table[table["checkpoint"].str.startswith("transfer-")]
    own = specialists[~specialists["held_out"]]
    assert dict(zip(own["checkpoint"], own["task"].map(lambda task: parse_identity(task)[0]), strict=True)) == {
        "transfer-logistic": "logistic",
        "transfer-perceptron": "perceptron",
        "transfer-quadratic": "quadratic",
        "transfer-rosenbrock": "chained-rosenbrock",
    }
