"""Update rules, hand-designed and learned, one module each. The table below is the registration: one line a rule.

Optimizers know neither the tasks nor the engine.
"""

import importlib
import json
from collections.abc import Iterable
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from optimizers.torch_optim import DropIn

RULES = {
    "sgd": ("optimizers.sgd:SGD", "stochastic gradient descent"),
    "momentum": ("optimizers.momentum:Momentum", "heavy-ball momentum"),
    "nag": ("optimizers.nag:NAG", "Nesterov's accelerated gradient"),
    "rmsprop": ("optimizers.rmsprop:RMSprop", "RMSprop"),
    "adam": ("optimizers.adam:Adam", "Adam"),
    "adamw": ("optimizers.adamw:AdamW", "Adam with decoupled weight decay"),
    "nadam": ("optimizers.nadam:NAdam", "Adam with Nesterov's momentum"),
    "radam": ("optimizers.radam:RAdam", "Adam with a rectified second moment"),
    "adafactor": ("optimizers.adafactor:Adafactor", "second moments of rows and columns, relative steps"),
    "cosine": ("optimizers.cosine:Cosine", "one of the first six, its learning rate falling to zero over the run"),
    "l-bfgs": ("optimizers.lbfgs:LBFGS", "limited-memory BFGS, one gradient a step"),
    "lion": ("optimizers.lion:Lion", "the sign of a momentum (needs pytorch-optimizer, as the four below)"),
    "muon": ("optimizers.muon:Muon", "orthogonalised momentum for matrices, AdamW for the rest"),
    "soap": ("optimizers.soap:SOAP", "Adam in the eigenbasis of Shampoo"),
    "schedule-free": ("optimizers.schedule_free:ScheduleFree", "AdamW with averaged iterates in place of a schedule"),
    "prodigy": ("optimizers.prodigy:Prodigy", "Adam that estimates its own step size"),
    "lstm": ("optimizers.lstm:LSTM", "the paper's learned optimizer, a coordinatewise LSTM"),
    "gac": ("optimizers.gac:GAC", "the paper's LSTM+GAC, some cells averaged over all coordinates"),
    "ntm-bfgs": ("optimizers.ntm_bfgs:NTMBFGS", "the paper's NTM-BFGS, an LSTM+GAC with a shared low-rank memory"),
    "rnnprop": ("optimizers.rnnprop:RNNprop", "an LSTM on Adam's and RMSprop's directions, its steps bounded"),
    "mlp": ("optimizers.mlp:MLP", "a perceptron on 19 features of each coordinate"),
    "adafac-mlp": ("optimizers.adafac_mlp:AdafacMLP", "a perceptron of four units on 39 features, some Adafactor's"),
    "star": ("optimizers.star:STAR", "the same beside an Adam that it controls, its own term preconditioned"),
    "hierarchical": ("optimizers.hierarchical:Hierarchical", "cells for coordinates, for tensors and above them all"),
    "meta-sgd": ("optimizers.meta_sgd:MetaSGD", "gradient descent with a learned rate for each parameter"),
    "velo": ("optimizers.velo:VeLO", "an LSTM for each tensor that mixes the perceptron of its coordinates"),
    "learned-adam": ("optimizers.learned_adam:LearnedAdam", "Adam with learned hyperparameters"),
}
"""Name → (module:class, summary). Modules are imported when a rule is asked for."""

SUFFIX = ".safetensors"
METADATA_KEY = "l2obench"
"""Of our part of a checkpoint's metadata."""


def shipped_checkpoints(group: str = "") -> list[str]:
    """Names of the checkpoints that come with the package.

    Args:
        group: a suite, whose trainings are compared with each other and have names such as `weightings/final`; none:
            the checkpoints that stand for themselves.
    """
    folders = [item for item in (resources.files("optimizers") / "checkpoints").iterdir() if item.is_dir()]
    if group and group not in [folder.name for folder in folders]:
        return []
    names = [item.name for item in (resources.files("optimizers") / "checkpoints" / group).iterdir()]
    prefix = f"{group}/" if group else ""
    return sorted(prefix + name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def rule_of_checkpoint(name: str) -> str:
    """The rule that a shipped checkpoint belongs to, from the header of its file."""
    content = (resources.files("optimizers") / "checkpoints" / f"{name}{SUFFIX}").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return str(json.loads(header["__metadata__"][METADATA_KEY])["optimizer"])


def load(name: str, params: "Iterable[Tensor] | Iterable[dict[str, Any]]", **hyperparameters: Any) -> "DropIn":
    """A rule as a drop-in `torch.optim.Optimizer`, as in `load("general", model.parameters())`.

    Args:
        name: one of `RULES`, or a shipped checkpoint: `load("mnist", …)` is `load("lstm", …, checkpoint="mnist")`.
        params: parameters or dicts of parameter groups, as `torch.optim` takes them.
        hyperparameters: fields of the rule; the rest keep their defaults.

    Raises:
        KeyError: no rule or checkpoint has this name.
        pydantic.ValidationError: the rule does not take these hyperparameters.
    """
    from optimizers.torch_optim import DropIn

    if name not in RULES and name in shipped_checkpoints():
        name, hyperparameters = rule_of_checkpoint(name), {"checkpoint": name, **hyperparameters}
    if name not in RULES:
        known = ", ".join([*RULES, *shipped_checkpoints()])
        raise KeyError(f"no optimizer is called {name!r}; known: {known}")
    module, _, attribute = RULES[name][0].partition(":")
    return DropIn(params, getattr(importlib.import_module(module), attribute)(**hyperparameters))
