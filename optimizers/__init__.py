"""Update rules, hand-designed and learned, one module each. The table below is the registration: one line a rule.

Optimizers know neither the tasks nor the engine.
"""

from functools import lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX, parse_metadata

RULES = {
    "sgd": ("l2obench.optimizers.designed.sgd:SGD", "stochastic gradient descent"),
    "momentum": ("l2obench.optimizers.designed.momentum:Momentum", "heavy-ball momentum"),
    "nag": ("l2obench.optimizers.designed.nag:NAG", "Nesterov's accelerated gradient"),
    "rmsprop": ("l2obench.optimizers.designed.rmsprop:RMSprop", "RMSprop"),
    "adam": ("l2obench.optimizers.designed.adam:Adam", "Adam"),
    "adamw": ("l2obench.optimizers.designed.adamw:AdamW", "Adam with decoupled weight decay"),
    "nadam": ("l2obench.optimizers.bridged.nadam:NAdam", "Adam with Nesterov's momentum"),
    "radam": ("l2obench.optimizers.bridged.radam:RAdam", "Adam with a rectified second moment"),
    "adafactor": (
        "l2obench.optimizers.bridged.adafactor:Adafactor",
        "second moments of rows and columns, relative steps",
    ),
    "cosine": (
        "l2obench.optimizers.designed.cosine:Cosine",
        "one of the first six, its learning rate falling to zero over the run",
    ),
    "relative-muon": (
        "l2obench.optimizers.designed.relative_muon:RelativeMuon",
        "orthogonalised momentum, steps relative to the weights, its rate falling to zero over the run",
    ),
    "relative-adam": (
        "l2obench.optimizers.designed.relative_adam:RelativeAdam",
        "Adam's direction with the steps and the schedule of relative-muon",
    ),
    "ncg": ("l2obench.optimizers.designed.ncg:NonlinearCG", "nonlinear conjugate gradients, one gradient a step"),
    "l-bfgs": ("l2obench.optimizers.bridged.lbfgs:LBFGS", "limited-memory BFGS, one gradient a step"),
    "lion": (
        "l2obench.optimizers.bridged.lion:Lion",
        "the sign of a momentum",
    ),
    "muon": ("l2obench.optimizers.bridged.muon:Muon", "orthogonalised momentum for matrices, AdamW for the rest"),
    "soap": ("l2obench.optimizers.bridged.soap:SOAP", "Adam in the eigenbasis of Shampoo"),
    "schedule-free": (
        "l2obench.optimizers.bridged.schedule_free:ScheduleFree",
        "AdamW with averaged iterates in place of a schedule",
    ),
    "prodigy": ("l2obench.optimizers.bridged.prodigy:Prodigy", "Adam that estimates its own step size"),
    "lstm": ("l2obench.optimizers.learned.lstm:LSTM", "the paper's learned optimizer, a coordinatewise LSTM"),
    "gac": ("l2obench.optimizers.learned.gac:GAC", "the paper's LSTM+GAC, some cells averaged over all coordinates"),
    "ntm-bfgs": (
        "l2obench.optimizers.learned.ntm_bfgs:NTMBFGS",
        "the paper's NTM-BFGS, an LSTM+GAC with a shared low-rank memory",
    ),
    "rnnprop": (
        "l2obench.optimizers.learned.rnnprop:RNNprop",
        "an LSTM on Adam's and RMSprop's directions, its steps bounded",
    ),
    "mlp": ("l2obench.optimizers.learned.mlp:MLP", "a perceptron on 19 features of each coordinate"),
    "adafac-mlp": (
        "l2obench.optimizers.learned.adafac_mlp:AdafacMLP",
        "a perceptron of four units on 39 features, some Adafactor's",
    ),
    "mu-adafac-mlp": (
        "l2obench.optimizers.learned.mu_parametrisation:MuAdafacMLP",
        "adafac-mlp whose steps of hidden matrices shrink with their width",
    ),
    "star": (
        "l2obench.optimizers.learned.star:STAR",
        "the same beside an Adam that it controls, its own term preconditioned",
    ),
    "hierarchical": (
        "l2obench.optimizers.learned.hierarchical:Hierarchical",
        "cells for coordinates, for tensors and above them all",
    ),
    "meta-sgd": (
        "l2obench.optimizers.learned.meta_sgd:MetaSGD",
        "gradient descent with a learned rate for each parameter",
    ),
    "velo": (
        "l2obench.optimizers.learned.velo:VeLO",
        "an LSTM for each tensor that mixes the perceptron of its coordinates",
    ),
    "mu-velo": (
        "l2obench.optimizers.learned.mu_parametrisation:MuVeLO",
        "velo whose steps of hidden matrices shrink with their width",
    ),
    "celo": (
        "l2obench.optimizers.learned.celo:Celo",
        "a perceptron for every coordinate, one learned schedule for all",
    ),
    "celo-adam": ("l2obench.optimizers.learned.celo_adam:CeloAdam", "Adam under the learned schedule of Celo"),
    "celo2": ("l2obench.optimizers.learned.celo2:Celo2", "a learned direction, orthogonalised; Adam for vectors"),
    "celo2-base": ("l2obench.optimizers.learned.celo2:Celo2Base", "a learned direction of size 1 for every tensor"),
    "elo": (
        "l2obench.optimizers.learned.elo:ELO",
        "the perceptron of adafac-mlp with 32 units, its step size the user's",
    ),
    "elo-celo2": ("l2obench.optimizers.learned.elo:ELOCelo2", "celo2 on clipped gradients, with decay"),
    "controller": (
        "l2obench.optimizers.learned.controller:Controller",
        "a small network for each tensor that steers relative-muon",
    ),
    "learned-adam": ("l2obench.optimizers.learned.learned_adam:LearnedAdam", "Adam with learned hyperparameters"),
}
"""Name → (module:class, summary). Modules are imported when a rule is asked for."""

NEEDS = dict.fromkeys(
    ("lion", "muon", "soap", "schedule-free", "prodigy"), ("pytorch_optimizer", "pytorch-optimizer>=4.1")
)
"""Name of a rule that needs a package which l2obench does not → (module, what pip installs)."""

METADATA_KEY = "l2obench"
"""Of our part of a checkpoint's metadata."""


def shipped_checkpoints(group: str = "") -> list[str]:
    """Names of the checkpoints that come with the package.

    Args:
        group: a suite, whose trainings are compared with each other and have names such as `weightings/final`, or
            `general-trainings`; none: the checkpoints that stand for themselves.
    """
    if group and group not in checkpoint_groups():
        return []
    names = [item.name for item in (_checkpoints() / group).iterdir()]
    prefix = f"{group}/" if group else ""
    return sorted(prefix + name.removesuffix(TENSOR_FILE_SUFFIX) for name in names if name.endswith(TENSOR_FILE_SUFFIX))


def checkpoint_groups() -> list[str]:
    """The groups that `shipped_checkpoints` knows."""
    return sorted(item.name for item in _checkpoints().iterdir() if item.is_dir())


def rule_of_checkpoint(name: str) -> str:
    """The name of the rule that a shipped checkpoint belongs to, from the header of its file.

    Args:
        name: a name in `shipped_checkpoints`.
    """
    return str(_metadata(name)["optimizer"])


def families_of_checkpoint(name: str) -> list[str]:
    """The task families that a shipped checkpoint was trained on, from the header of its file.

    Args:
        name: a name in `shipped_checkpoints`.
    """
    recipe = _metadata(name).get("recipe") or {}
    return list(recipe.get("mixture") or filter(None, [recipe.get("task")]))


@lru_cache(maxsize=256)
def _metadata(name: str) -> dict[str, Any]:
    return parse_metadata((_checkpoints() / f"{name}{TENSOR_FILE_SUFFIX}").read_bytes(), METADATA_KEY)


@lru_cache(maxsize=1)
def _checkpoints() -> Traversable:
    return resources.files("l2obench.optimizers") / "checkpoints"
