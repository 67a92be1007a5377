"""One update: the LSTM against nn.LSTMCell, Adam against torch's fused one, the drop-in against the rule, all rules."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.rollout.loop import rollout
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer, State
from l2obench.optimizers.bridged.torch_optim import bridge
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.drop_in.optimizer import DropIn
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.fused.rule import FusedRule
from l2obench.optimizers.learned.fused.step import numba_is_installed
from l2obench.optimizers.learned.lstm import LSTM
from l2obench.tasks.quadratic import Quadratic
from tests.benchmarks.floor import Work
from tests.benchmarks.peers.lstm_cell import CellRule
from tests.benchmarks.peers.naive_adafac import NaiveAdafacMLP

STEPS = 4
STATE_BYTES = 2 * 2 * 2 * 20 * 4  # two layers of 20 hidden and 20 cell values, read and written


def gradients(coordinates: int, steps: int = STEPS) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(coordinates, generator=random) for _ in range(steps)]


def stepped(
    rule: CoordinatewiseOptimizer, param: torch.Tensor, state: State, grads: list[torch.Tensor]
) -> torch.Tensor:
    """The parameter after a few steps."""
    with torch.no_grad():
        for grad in grads:
            update, state = rule.update_tensor(grad, state, param)
            param = param + update
    return param


@pytest.mark.parametrize(("coordinates", "bar"), [(2**14, ("≥ 3", "")), (2**20, ("≥ 4", ""))], ids=["16k", "1M"])
def test_lstm_step(race: Callable[..., Any], full: bool, coordinates: int, bar: tuple[str, str]) -> None:
    """The compiled step, where numba is there, beside our path in torch and what everyone writes."""
    coordinates = coordinates if full else 100
    rule = LSTM().initialised(torch.Generator().manual_seed(0))
    steps = STEPS if coordinates < 2**20 else 1
    cells, grads, zeros = CellRule(rule), gradients(coordinates, steps), torch.zeros(coordinates)

    @torch.no_grad()
    def peer(*_: Any) -> torch.Tensor:
        param, state = zeros, cells.initial(coordinates)
        for grad in grads:
            update, state = cells(grad, state)
            param = param + update
        return param

    flops = rule.flops_per_coordinate()
    assert flops is not None
    count, begun = steps * coordinates, rule.init_tensor(zeros)
    fused = rule.fused() if numba_is_installed() else None
    in_torch = lambda state: stepped(rule, zeros, state, grads)  # noqa: E731
    other = {"ours, in torch": in_torch} if fused else {"ours, fused, by numba": None}
    results = race(
        f"LSTM, {'fused' if fused else 'in torch'}, no gradient, {coordinates:,} coordinates × {steps}",
        (lambda state: stepped(fused, zeros, state, grads)) if fused else in_torch,
        {"nn.LSTMCell × 2": peer, **other},
        {"nn.LSTMCell × 2": bar, "ours, in torch": ("ours ≤ 230 ns", "ours ≤ 185 ns")},
        Work(flops=count * flops, bytes=count * STATE_BYTES, sigmoids=count * 2 * 20 * 5),
        lambda: (copy.deepcopy(begun),),  # whose memory the system has provided
        coordinates=count,
    )
    for name in results.keys() - {"ours"}:
        torch.testing.assert_close(results["ours"], results[name], rtol=1e-4, atol=1e-5)


def race_torch(
    race: Callable[..., Any], path: str, peer: str, bar: tuple[str, str], ours: Any, theirs: Any, coordinates: int
) -> None:
    results = race(
        f"{path}, {STEPS} steps, {coordinates:,} coordinates",
        ours,
        {peer: theirs},
        {peer: bar},
        None if "lstm" in path else Work(bytes=STEPS * coordinates * 4 * 7),
    )
    torch.testing.assert_close(results["ours"], results[peer], rtol=1e-4, atol=1e-6)


def driven(
    make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer], grads: list[torch.Tensor]
) -> torch.Tensor:
    """A parameter moved by a torch optimizer."""
    param = torch.nn.Parameter(torch.zeros_like(grads[0]))
    optimizer = make([param])
    for grad in grads:
        param.grad = grad
        optimizer.step()
    return param.detach()


def test_adam_step(race: Callable[..., Any], full: bool) -> None:
    grads = gradients(2**20 if full else 100)

    def ours() -> torch.Tensor:
        param = torch.zeros_like(grads[0])
        return stepped(Adam(), param, Adam().init_tensor(param), grads)

    theirs = lambda: driven(lambda params: torch.optim.Adam(params, fused=True), grads)  # noqa: E731
    race_torch(race, "Adam", "torch.optim.Adam, fused", ("", ""), ours, theirs, len(grads[0]))


LEARNED = ["adafac-mlp", "star", "hierarchical", "mlp", "rnnprop", "velo"]
BRIDGED = ["nadam", "radam", "adafactor", "l-bfgs", "lion", "muon", "soap", "schedule-free", "prodigy"]


@pytest.mark.parametrize("name", [*LEARNED, *BRIDGED])
def test_a_step_of_each_rule(race: Callable[..., Any], full: bool, name: str) -> None:
    """What a rule costs beside Adam and the LSTM, which compute something else: a million updates of coordinates.

    So milliseconds are nanoseconds a coordinate. The coordinates are those of one matrix, in one replica.
    """
    rows, columns, steps = (250, 400, 10) if full else (6, 4, 2)
    random = torch.Generator().manual_seed(0)
    grads = [{"weight": 0.1 * torch.randn(1, 1, rows, columns, generator=random)} for _ in range(steps)]
    start, loss = {"weight": torch.randn(1, 1, rows, columns, generator=random)}, torch.ones(1, 1)

    def call(rule: Optimizer) -> Callable[[], torch.Tensor]:
        @torch.no_grad()
        def run() -> torch.Tensor:
            params, state = start, rule.init(start)
            for grad in grads:
                updates, state = rule.update(grad, rule.observe(state, loss, steps), params)
                params = {"weight": params["weight"] + updates["weight"]}
            return params["weight"]

        return run

    rules: dict[str, Optimizer] = {}
    for each in (name, "adam", "lstm"):
        made = optimizer_registry().create(each)
        rules[each] = made.initialised(random) if isinstance(made, LearnedOptimizer) else made
    path = f"{name}, {steps} steps, {rows * columns:,} coordinates" + (": ms = ns a coordinate" if full else "")
    peers = {"our Adam": call(rules["adam"]), "our LSTM": call(rules["lstm"])}
    results = race(path, call(rules[name]), peers)
    assert all(result.isfinite().all() for result in results.values())


# Every rule that has a compiled step, but for the LSTM, which has a benchmark of its own.
FUSED = [
    *("rnnprop", "adafac-mlp", "star", "celo", "mu-velo", "velo", "celo2-base"),
    *("celo2", "elo-celo2", "mu-adafac-mlp", "elo"),
]


# Of a million coordinates, by the width of layers.
AIMS = {4: "ours ≤ 12 ns", 8: "ours ≤ 12 ns", 20: "ours ≤ 230 ns", 32: "ours ≤ 30 ns"}
UNITS = {"rnnprop": 20, "celo2-base": 8, "mu-adafac-mlp": 32, "elo": 32}


@pytest.mark.parametrize("side", [128, 1024], ids=["16k", "1M"])
@pytest.mark.parametrize("name", FUSED)
def test_a_fused_step(race: Callable[..., Any], full: bool, name: str, side: int) -> None:
    """The compiled step of a matrix beside the same rule in torch.

    `adafac-mlp` also stands beside a naive program of its formula.
    """
    side, steps = (side, 4 if side == 128 else 1) if full else (6, 2)
    random = torch.Generator().manual_seed(0)
    grads = [0.1 * torch.randn(1, 1, side, side, generator=random) for _ in range(steps)]
    start, loss = torch.randn(1, 1, side, side, generator=random), torch.ones(1, 1)

    def call(rule: Optimizer) -> Callable[[State], torch.Tensor]:
        @torch.no_grad()
        def run(state: State) -> torch.Tensor:
            params = {"weight": start}
            for grad in grads:
                updates, state = rule.update({"weight": grad}, rule.observe(state, loss, steps), params)
                params = {"weight": params["weight"] + updates["weight"]}
            return params["weight"]

        return run

    made = optimizer_registry().create(name)
    assert isinstance(made, FusedRule)
    rule = made.initialised(random)
    fused = rule.fused() if numba_is_installed() else None
    begun = rule.init({"weight": start})
    # Newton–Schulz takes nine tenths of the time of these.
    aim = AIMS[UNITS.get(name, 4)] if side == 1024 and name not in ("celo2", "elo-celo2") else ""

    @torch.no_grad()
    def naive(_: State) -> torch.Tensor:
        param, step = start[0, 0], NaiveAdafacMLP(rule, side, side)  # type: ignore[arg-type]
        for grad in grads:
            param = param + step(grad[0, 0], param)
        return param[None, None]

    peers = {"ours, in torch": call(rule)} if fused else {"ours, fused, by numba": None}
    if name == "adafac-mlp":
        peers["naive program"] = naive
    results = race(
        f"{name}, {'fused' if fused else 'in torch'}, {steps} steps, {side * side:,} coordinates",
        call(fused or rule),
        peers,
        {"ours, in torch": (aim, "")},
        prepare=lambda: (copy.deepcopy(begun),),  # whose memory the system has provided
        coordinates=steps * side * side,
    )
    for peer in results.keys() - {"ours"}:
        moved = (results["ours"] - start, results[peer] - start)
        # Parameters of up to five are rounded by up to 5e-7 when an update is added.
        torch.testing.assert_close(*moved, rtol=1e-3, atol=1e-3 * float(moved[1].abs().max()) + 1e-6)


@pytest.mark.parametrize(("name", "coordinates"), [("adam", 2**16), ("adam", 2**20), ("lstm", 2**16)])
def test_drop_in(race: Callable[..., Any], full: bool, name: str, coordinates: int) -> None:
    """The bars are those of ours ÷ rule, at most: so the ratio is to be at least their inverse."""
    rule = Adam() if name == "adam" else LSTM().initialised(torch.Generator().manual_seed(0))
    grads = gradients(coordinates if full else 100)

    def alone() -> torch.Tensor:
        param = torch.zeros_like(grads[0])
        return stepped(rule, param, rule.init_tensor(param), grads)

    bar = ("≥ 0.95", "1.0")
    race_torch(
        race,
        f"drop-in {name}",
        "the rule alone",
        bar,
        lambda: driven(lambda p: DropIn(p, rule), grads),
        alone,
        len(grads[0]),
    )


def test_bridge(race: Callable[..., Any]) -> None:
    """Ours against torch's Adam through the bridge, which steps one replica after the other."""
    task, seeds = Quadratic(horizon=20), list(range(20))
    theirs = bridge("torch.optim.Adam", torch.optim.Adam)()
    results = race(
        "rollout with our Adam, quadratics, 20 × 20 steps",
        lambda: rollout(task, Adam(), seeds, evaluate=False).losses,
        {"torch.optim.Adam, through the bridge": lambda: rollout(task, theirs, seeds, evaluate=False).losses},
    )
    torch.testing.assert_close(*results.values(), rtol=1e-3, atol=1e-4)
