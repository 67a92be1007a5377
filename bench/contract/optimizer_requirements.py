"""What the engine relies on in an optimizer, requirement by requirement, tried on small stacked parameters.

A requirement is a function of the rule. It returns None where it is met and a sentence where it does not apply, and
raises where it is not met. `REQUIREMENTS` lists them.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from l2obench.bench.config.registry import identify, optimizer_registry
from l2obench.bench.failures import ContractBroken
from l2obench.bench.rollout.guard import Unchanged, require_like
from l2obench.bench.rollout.seeds import generator
from l2obench.foundation.errors import describe_error
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer, State, Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer

# Steps enough for a rule that does something every few steps, and few enough for a test of seconds.
SEEDS, SETTINGS, STEPS = 3, 2, 6
# Every rule takes matrices; some, as Muon, take nothing else.
MATRICES: dict[str, tuple[int, ...]] = {"first": (4, 3), "second": (2, 3)}
# Shapes that tasks have: a scalar, a bias, a matrix, a convolution.
SHAPES: list[tuple[int, ...]] = [(), (3,), (4, 3), (2, 3, 2, 2)]
# Replicas computed together and alone differ by float32 rounding, grown over STEPS steps; parameters are of order 1.
RELATIVE, ABSOLUTE = 1e-3, 1e-5


def identity_leads_back(rule: Optimizer) -> None:
    """The identity that stands in results names this very rule.

    A results file and a resumed run make the rule again from its identity alone.
    """
    again = optimizer_registry().create(identify(rule))
    if identify(again) != identify(rule) or type(again).__qualname__ != type(rule).__qualname__:
        raise ContractBroken(f"{identify(rule)} leads to {identify(again)}")
    if not isinstance(rule.version, int):
        raise ContractBroken(f"version must be a whole number, got {rule.version!r}")


def takes_every_shape(rule: Optimizer) -> None:
    """Scalars, vectors, matrices and convolutions: tasks have all of them."""
    for shape in SHAPES:
        try:
            for _ in _steps(rule, {"param": shape}):
                pass
        except Exception as error:
            raise ContractBroken(f"parameters of shape {shape}: {describe_error(error)}") from error


def updates_fit(rule: Optimizer) -> None:
    """Updates have the names, shapes and kind of number of the parameters.

    The rollout adds them: broadcasting or a wider dtype would change the parameters without an error.
    """
    for updates, params in _steps(rule):
        require_like("update", updates, params)


def updates_are_finite(rule: Optimizer) -> None:
    """Gradients and parameters of order 1 give finite updates. Else every replica would count as diverged."""
    for step, (updates, _) in enumerate(_steps(rule), 1):
        for name, update in updates.items():
            if not update.isfinite().all():
                raise ContractBroken(f"the update of {name!r} is not finite at step {step}")


def inputs_stay_unchanged(rule: Optimizer) -> None:
    """Gradients and parameters are read, never written to.

    The rollout keeps them after the update, and meta-training records gradients without a copy.
    """
    params = _params()
    state = rule.init(params)
    for grads in _grads():
        inputs = Unchanged({"grads": grads, "params": params}, thorough=True)
        updates, state = _update(rule, grads, state, params)
        inputs.require_unchanged("update")
        params = {name: value + updates[name] for name, value in params.items()}


def updates_are_not_kept(rule: Optimizer) -> None:
    """Updates are the caller's: writing into them changes nothing later.

    The rollout writes θ + u into the memory of u, so a kept update would become the parameters.
    """
    _require_close(
        "an update that is kept, and overwritten, changes later ones", _final(rule, overwrite=True), _final(rule)
    )


def same_again(rule: Optimizer) -> None:
    """The same gradients give the same updates; nothing comes from a global random state.

    A resumed run must end with the numbers of one that was not interrupted.
    """
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        runs.append(_final(rule))
    for name in runs[0]:
        if not torch.equal(runs[0][name], runs[1][name]):
            raise ContractBroken(f"two runs on the same gradients differ in {name!r}")


def neighbours_do_not_matter(rule: Optimizer) -> None:
    """A replica has the same course alone and among others.

    How many replicas run together depends on memory, and no result may depend on it.
    """
    together = _final(rule)
    for seed in range(SEEDS):
        for setting in range(SETTINGS):
            one = (slice(seed, seed + 1), slice(setting, setting + 1))
            alone = _final(rule, pick=one)
            _require_close("a replica alone differs from the same among others", alone, _picked(together, one))


def a_broken_neighbour_does_not_matter(rule: Optimizer) -> None:
    """A replica whose gradients are not finite leaves the others as they were.

    Diverged replicas go on in the stack, since taking them out would change shapes in the middle of a run.
    """
    whole, spoilt = _final(rule), _final(rule, spoil=True)
    rest = (slice(1, None), slice(None))
    _require_close("gradients that are not finite change other replicas", _picked(spoilt, rest), _picked(whole, rest))


def hyperparameters_stack(rule: Optimizer) -> str | None:
    """A tunable hyperparameter may hold one value for each replica.

    Tuning runs its grid of learning rates as settings of one rollout, `[1, settings]`.
    """
    if not rule.tunable:
        return "nothing is tunable"
    for name in rule.tunable:
        default = getattr(rule, name)
        base = float(default) if isinstance(default, int | float) and default > 0 else 1e-3
        values = [base, base / 3]
        stacked = _final(rule.stacked({name: torch.tensor([values])}))
        for setting, value in enumerate(values):
            column = (slice(None), slice(setting, setting + 1))
            alone = _final(rule.model_copy(update={name: value}), pick=column)
            _require_close(f"{name} stacked differs from {name}={value:g}", _picked(stacked, column), alone)
    return None


def state_has_a_size(rule: Optimizer) -> None:
    """`state_bytes` is a whole number of bytes, 0 or more.

    Reports show the memory of a rule, and the rollout plans by it how many seeds run together.
    """
    params = _params()
    state = rule.init(params)
    _, state = _update(rule, next(_grads()), state, params)
    size = rule.state_bytes(state)
    if not isinstance(size, int) or size < 0:
        raise ContractBroken(f"state_bytes must give a whole number of bytes, got {size!r}")


def coordinates_are_independent(rule: Optimizer) -> str | None:
    """A `CoordinatewiseOptimizer` treats a part of the coordinates as it treats them among all.

    Meta-training backpropagates through a random sample of coordinates, which is unbiased only then.
    """
    if not isinstance(rule, CoordinatewiseOptimizer):
        return "the rule does not promise to be coordinatewise"
    half = (slice(None), slice(None), slice(None, None, 2))
    _require_close(
        "some coordinates alone differ from the same among all", _final(rule, pick=half), _picked(_final(rule), half)
    )
    return None


REQUIREMENTS: dict[str, Callable[[Optimizer], str | None]] = {
    requirement.__name__.replace("_", " "): requirement
    for requirement in (
        identity_leads_back,
        updates_fit,
        updates_are_finite,
        inputs_stay_unchanged,
        updates_are_not_kept,
        same_again,
        neighbours_do_not_matter,
        a_broken_neighbour_does_not_matter,
        hyperparameters_stack,
        state_has_a_size,
        coordinates_are_independent,
        takes_every_shape,
    )
}
"""Requirements by their names, in the order in which `l2obench test-plugin` asks for them."""


@torch.no_grad()
def require_of_optimizer(rule: Optimizer, name: str) -> str | None:
    """Hold a rule to one requirement. A learned rule without meta-parameters gets random ones.

    Args:
        rule: the rule.
        name: one of `REQUIREMENTS`.

    Returns:
        None where the requirement is met; why it does not apply, where it does not.

    Raises:
        ContractBroken: it is not met.
        Exception: what the rule raised.
    """
    if isinstance(rule, LearnedOptimizer) and not rule.meta_parameters:
        rule = rule.initialised(generator(0))
    return REQUIREMENTS[name](rule)


def _params(shapes: dict[str, tuple[int, ...]] = MATRICES) -> Tensors:
    random = generator(1)
    return {name: torch.randn(SEEDS, SETTINGS, *shape, generator=random) for name, shape in shapes.items()}


def _grads(shapes: dict[str, tuple[int, ...]] = MATRICES) -> Iterator[Tensors]:
    random = generator(2)
    for _ in range(STEPS):
        yield {name: torch.randn(SEEDS, SETTINGS, *shape, generator=random) for name, shape in shapes.items()}


def _update(rule: Optimizer, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
    """An update by a rule that has observed a loss: what it would be in a bowl around zero."""
    losses = torch.stack([value.square().reshape(*value.shape[:2], -1).sum(-1) for value in params.values()]).sum(0)
    return rule.update(grads, rule.observe(state, losses, STEPS), params)


def _steps(rule: Optimizer, shapes: dict[str, tuple[int, ...]] = MATRICES) -> Iterator[tuple[Tensors, Tensors]]:
    """Updates and the parameters that they are for, step by step."""
    params = _params(shapes)
    state = rule.init(params)
    for grads in _grads(shapes):
        updates, state = _update(rule, grads, state, params)
        require_like("update", updates, params)
        yield updates, params
        params = {name: value + updates[name] for name, value in params.items()}


def _final(rule: Optimizer, pick: tuple[slice, ...] = (), spoil: bool = False, overwrite: bool = False) -> Tensors:
    """The parameters after all steps.

    Those picked alone, or with the first seed's gradients spoilt from the third, or with each update overwritten after
    its use.
    """
    params = _picked(_params(), pick)
    state = rule.init(params)
    for step, grads in enumerate(_grads()):
        if spoil and step >= 2:
            for grad in grads.values():
                grad[0] = torch.nan
        updates, state = _update(rule, _picked(grads, pick), state, params)
        params = {name: value + updates[name] for name, value in params.items()}
        if overwrite:
            for update in updates.values():
                update.fill_(1.0)
    return params


def _picked(tensors: Tensors, pick: tuple[slice, ...]) -> Tensors:
    return {name: tensor[pick].clone() for name, tensor in tensors.items()}


def _require_close(what: str, found: Tensors, expected: Tensors) -> None:
    for name, tensor in expected.items():
        gap: Tensor = (found[name] - tensor).abs()
        if not (gap <= ABSOLUTE + RELATIVE * tensor.abs()).all():
            raise ContractBroken(f"{what}: {name!r} by up to {gap.max().item():.3g} after {STEPS} steps")
