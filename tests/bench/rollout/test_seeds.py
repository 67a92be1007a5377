"""Seeds: torch keeps 32 bits of them, and in these bits the pools of different purposes share nothing."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from l2obench.bench.config.suite import load_suite
from l2obench.bench.rollout import seeds
from l2obench.bench.rollout.seeds import LISTED, STREAM, Purpose, SeedRangeError, derive_seed, generator, permute

LOW = 2**32
TRAINING: tuple[Purpose, ...] = ("meta-training", "meta-validation")


@given(st.integers(0, 2**63 - 1))
def test_torch_keeps_the_low_32_bits_of_a_seed(seed: int) -> None:
    """All others are for show: what is disjoint must be so in these."""
    assert torch.equal(generator(seed).get_state()[8:], generator(seed % LOW).get_state()[8:])
    assert torch.equal(torch.rand(3, generator=generator(seed)), torch.rand(3, generator=generator(seed % LOW)))


@given(st.integers(0, LOW - 1), st.integers(0, 31))
def test_torch_keeps_each_of_them(seed: int, bit: int) -> None:
    assert not torch.equal(generator(seed).get_state(), generator(seed ^ (1 << bit)).get_state())


def legacy(purpose: str, family: str, index: int) -> int:
    digest = hashlib.sha256(f"l2obench/{purpose}/{family}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def test_listed_seeds_are_the_hashes_that_reference_results_were_made_with() -> None:
    for family in ("quadratic", "mnist-mlp", "quadratic[dim=20]"):
        for purpose, count in (("timing", 1), ("tuning", 500), ("evaluation", 8000)):
            found = [derive_seed(purpose, family, index) for index in range(count)]  # type: ignore[arg-type]
            assert found == [legacy(purpose, family, index) for index in range(count)]


@pytest.mark.parametrize("family", ["quadratic", "mnist-mlp"])
def test_no_two_listed_seeds_of_a_family_are_equal(family: str) -> None:
    """Of `quadratic`, evaluation function 22,853 has the hash's low bits of another one: it is hashed again."""
    found = [derive_seed(purpose, family, k) % LOW for purpose, count in LISTED.items() for k in range(count)]  # type: ignore[arg-type]
    assert len(set(found)) == sum(LISTED.values())
    changed = derive_seed("evaluation", "quadratic", 22853) != legacy("evaluation", "quadratic", 22853)
    assert changed


def test_the_first_listed_seeds_do_not_depend_on_which_are_asked_for_first() -> None:
    one, other = seeds._List("quadratic"), seeds._List("quadratic")
    forth = [one.seed("evaluation", index) for index in range(100)]
    assert forth == [other.seed("evaluation", index) for index in reversed(range(100))][::-1]


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.lists(st.integers(0, 2**30 - 1), min_size=2, max_size=300, unique=True))
def test_a_key_permutes_30_bits(key: bytes, values: list[int]) -> None:
    images = {permute(value, key) for value in values}
    assert len(images) == len(values)
    assert all(0 <= image < 2**30 for image in images)


@pytest.mark.slow
def test_a_key_permutes_every_30_bit_number_of_a_slice() -> None:
    assert len({permute(value, b"key") for value in range(2**21)}) == 2**21


@settings(max_examples=30, deadline=None)
@given(
    purpose=st.sampled_from(TRAINING),
    stream=st.integers(0, 10**6),
    places=st.lists(st.integers(0, STREAM - 1), min_size=1, max_size=200, unique=True),
)
def test_training_seeds_meet_no_other_pool_and_not_each_other(purpose: Purpose, stream: int, places: list[int]) -> None:
    found = {derive_seed(purpose, "quadratic", stream * STREAM + place) for place in places}
    assert len(found) == len(places)
    assert {seed >> 30 for seed in found} == {TRAINING.index(purpose)}
    assert not found & set(seeds._taken("quadratic").tolist())


@pytest.mark.parametrize("purpose", TRAINING)
def test_a_place_whose_seed_is_listed_takes_a_spare_one(purpose: Purpose, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exhaustively, on 10 bits instead of 30: every place of a stream, with one seed in 32 listed."""
    monkeypatch.setattr(seeds, "_HALF_BITS", 5)
    monkeypatch.setattr(seeds, "_REGION_BITS", 10)
    monkeypatch.setattr(seeds, "STREAM", 500)
    region = TRAINING.index(purpose) << 10
    for family in ("a", "b", "c"):
        listed = sorted({region | permute(value, family.encode().ljust(8)) for value in range(0, 1024, 32)})
        monkeypatch.setattr(seeds, "_taken", lambda _, listed=listed: np.array(listed))
        found = [derive_seed(purpose, family, 500 * 3 + place) for place in range(500)]
        assert len(set(found)) == 500
        assert not {*found} & {*listed}
        assert {seed >> 10 for seed in found} == {region >> 10}


def test_what_was_shared_is_not_any_more() -> None:
    """By their hashes, meta-training function 78,897 of quadratics is evaluation function 3,346."""
    assert legacy("meta-training", "quadratic", 78897) % LOW == legacy("evaluation", "quadratic", 3346) % LOW
    assert derive_seed("meta-training", "quadratic", 78897) % LOW != derive_seed("evaluation", "quadratic", 3346) % LOW


def test_randomness_that_draws_no_function_is_apart_too() -> None:
    for index in (0, 7, 2**63 - 1):
        assert derive_seed("meta-randomness", "quadratic/offset", index) >> 30 == 2


@pytest.mark.parametrize(("purpose", "index"), [("evaluation", 32768), ("tuning", 4096), ("evaluation", -1)])
def test_an_index_out_of_range_is_refused(purpose: Purpose, index: int) -> None:
    with pytest.raises(SeedRangeError, match=f"the index of a {purpose} seed must be from 0 to .* Try: fewer seeds"):
        derive_seed(purpose, "quadratic", index)


def test_every_suite_stays_within_the_list() -> None:
    for name in ("gate", "paper", "generalization", "no-free-lunch"):
        for cell in load_suite(name).cells():
            assert cell.seeds <= LISTED["evaluation"]
            assert cell.tuning_seeds <= LISTED["tuning"]


def test_pools_of_two_trainings_are_drawn_apart() -> None:
    first, second = ([derive_seed("meta-training", "quadratic", k * STREAM + i) for i in range(50)] for k in (0, 1))
    assert not {*itertools.chain(first)} & {*second}
