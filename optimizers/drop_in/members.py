"""Which parameters make up a model, and their names, for rules that look at all tensors at once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Member = tuple[Tensor, dict[str, Any]]


class Members:
    """The parameters of each model with their groups by name, found once and kept."""

    def __init__(self) -> None:
        self._models: dict[int, tuple[dict[str, Member], dict[str, Tensor]]] = {}

    def forget(self) -> None:
        """Look anew at the next step: groups or states have changed."""
        self._models = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: a copy has other parameters."""
        return {"_models": {}}

    def of_model(
        self, rule_name: str, optimizer: torch.optim.Optimizer, groups: Sequence[dict[str, Any]]
    ) -> dict[str, Member]:
        """The members of a model: those that could have a gradient at its first step.

        Args:
            rule_name: for errors.
            optimizer: whose groups they are; its state says whether the model has taken a step.
            groups: of this model.

        Returns:
            Parameter and group by name.

        Raises:
            ValueError: a parameter has a gradient that was frozen at the first step.
            RuntimeError: they are on several devices.
        """
        key = id(groups[0])
        members, others = self._models.get(key) or _look(optimizer, groups)
        if key not in self._models and any(optimizer.state.get(param) for param, _ in members.values()):
            self._models[key] = (members, others)  # before the first step, parameters may still be unfrozen
        if late := next((name for name, param in others.items() if param.grad is not None), None):
            raise ValueError(
                f"parameter {late} was frozen at the first step, and {rule_name} must "
                "know all tensors from there on. Try: make the optimizer after unfreezing"
            )
        if len({param.device for param, _ in members.values()}) > 1:
            raise RuntimeError(f"{rule_name} looks at all tensors, so they must be on one device")
        return members


def _look(
    optimizer: torch.optim.Optimizer, groups: Sequence[dict[str, Any]]
) -> tuple[dict[str, Member], dict[str, Tensor]]:
    """Members by name, and the other parameters that have coordinates."""
    everything = [param for group in optimizer.param_groups for param in group["params"]]
    places = {param: str(place) for place, param in enumerate(everything)}
    members: dict[str, Member] = {}
    others: dict[str, Tensor] = {}
    began = any(optimizer.state.get(param) for group in groups for param in group["params"])
    for group in groups:
        names = group.get("param_names") or [places[param] for param in group["params"]]
        for name, param in zip(names, group["params"], strict=True):
            if bool(optimizer.state.get(param)) if began else param.requires_grad and param.numel():
                members[name] = (param, group)
            elif param.numel():
                others[name] = param
    return members, others
