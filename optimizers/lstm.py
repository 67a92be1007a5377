"""The paper's learned optimizer: a small LSTM applied to every coordinate, with its own state for each."""

import math
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from optimizers.base import CoordinatewiseOptimizer, State, Tensors, per_replica
from optimizers.learned import LearnedOptimizer

# What the paper and DeepMind's release set outside quadratics; on quadratics both use no preprocessing and scale 1.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"hidden": 20, "layers": 2, "preprocessing": "log", "p": 10.0, "output_scale": 0.1},
    "deepmind-release": {"hidden": 20, "layers": 2, "preprocessing": "log", "p": 5.0, "output_scale": 0.01},
}
BLOCK = 2048  # coordinates whose gates stay in a core's cache


class LSTM(LearnedOptimizer, CoordinatewiseOptimizer):
    """[u, s'] = output_scale · m(preprocess(g), s; φ), where m stacks LSTM layers under one linear output.

    Source: Andrychowicz et al. 2016, section 2.1 (two layers of 20 units, shared over coordinates) and appendix A
    (preprocessing). Gates are ordered input, forget, output, candidate; one bias a gate. Memory is feature-major:
    `hidden` and `cell` are `[layers, units, *param.shape]`.
    """

    name: ClassVar[str] = "lstm"
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "layers", "preprocessing", "p", "output_scale", "networks")

    preset: Literal["paper", "deepmind-release"] | None = None
    """Values for the parameters below that are not given themselves."""
    hidden: int = Field(default=20, ge=1, le=1024)
    layers: int = Field(default=2, ge=1, le=16)
    preprocessing: Literal["log", "log-linear", "none"] = "log"
    """`log`: the paper's two inputs. `log-linear`: those and g · e^{p/2}, so that an update in proportion to the
    gradient, as momentum makes it, is within easy reach. `none`: the gradient itself."""
    p: float = Field(default=10.0, gt=0, le=80)
    """Gradients from e^-p upwards enter by logarithm and sign, smaller ones linearly (appendix A)."""
    output_scale: float = Field(default=0.1, gt=0)
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained. For learning-rate schedules on the drop-in optimizer."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, dict) else None
        return {**PRESETS.get(preset, {}), **values} if isinstance(preset, str) else values

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = {"log": 2, "log-linear": 3, "none": 1}[self.preprocessing]
        for k in range(self.layers):
            shapes[f"lstm{k}.weight"] = (4 * self.hidden, inputs + self.hidden)
            shapes[f"lstm{k}.bias"] = (4 * self.hidden,)
            inputs = self.hidden
        return {**shapes, "output.weight": (1, self.hidden), "output.bias": (1,)}

    def random_network(self, generator: torch.Generator) -> Tensors:
        """LeCun normal weights, a small output, forget bias 1."""
        tensors = {}
        for name, shape in self.network_shapes().items():
            if name.endswith("bias"):
                tensors[name] = torch.zeros(shape)
                if name.startswith("lstm"):
                    tensors[name][self.hidden : 2 * self.hidden] = 1.0
            else:
                scale = 0.1 if name.startswith("output") else 1.0
                tensors[name] = scale * torch.randn(shape, generator=generator) / shape[1] ** 0.5
        return tensors

    def flops_per_coordinate(self) -> float | None:
        inputs, preprocessing = {"log": (2, 5), "log-linear": (3, 6), "none": (1, 0)}[self.preprocessing]
        widths = [inputs, *[self.hidden] * (self.layers - 1)]
        # A layer: four gates with their nonlinearities, then f c, i c̃, their sum, its tanh and o times that. A product
        # of length k that begins at the bias takes 2 k.
        layers = sum(self.hidden * (8 * (width + self.hidden) + 4 + 5) for width in widths)
        return preprocessing + layers + 2 * self.hidden + 2  # the output: product, bias, scale

    def init_tensor(self, param: Tensor) -> State:
        self.require_trained()
        shape = (self.layers, self.hidden, *param.shape)
        return {"hidden": param.new_zeros(shape), "cell": param.new_zeros(shape)}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        phi = {name: tensor.to(grad) for name, tensor in self._meta_parameters.items()}
        hidden = state["hidden"].view(self.layers, self.hidden, -1)
        cell = state["cell"].view(self.layers, self.hidden, -1)
        flat = grad.reshape(-1)
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            output, hidden, cell = self._step(phi, flat, hidden, cell)
        else:
            output = self._step_in_place(phi, flat, hidden, cell)
        scale = self.output_scale * per_replica(self.lr, grad)
        shape = state["hidden"].shape
        return output.view_as(grad) * scale, {"hidden": hidden.view(shape), "cell": cell.view(shape)}

    def preprocess(self, grad: Tensor) -> Tensor:
        """Inputs of the network, `[1 to 3, coordinates]`, from gradients `[coordinates]` (appendix A)."""
        if self.preprocessing == "none":
            return grad.unsqueeze(0)
        magnitude = grad.abs()
        threshold = math.exp(-self.p)
        large = magnitude >= threshold
        logarithm = torch.where(large, magnitude.clamp_min(threshold).log() / self.p, -1.0)
        inputs = [logarithm, torch.where(large, grad.sign(), grad / threshold)]
        if self.preprocessing == "log-linear":
            inputs.append(grad * math.exp(self.p / 2))
        return torch.stack(inputs)

    def _step(self, phi: Tensors, grad: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step as a graph: output `[coordinates]`, next hidden and cell `[layers, units, coordinates]`."""
        x = self.preprocess(grad)
        new_hidden, new_cell = [], []
        for k in range(self.layers):
            inputs = torch.cat([x, hidden[k]])
            gates = torch.addmm(phi[f"lstm{k}.bias"].unsqueeze(1), phi[f"lstm{k}.weight"], inputs)
            i, f, o = gates[: 3 * self.hidden].sigmoid().chunk(3)
            c = f * cell[k] + i * gates[3 * self.hidden :].tanh()
            x = o * c.tanh()
            new_hidden.append(x)
            new_cell.append(c)
        output = phi["output.weight"] @ x + phi["output.bias"]
        return output[0], torch.stack(new_hidden), torch.stack(new_cell)

    def _step_in_place(self, phi: Tensors, grad: Tensor, hidden: Tensor, cell: Tensor) -> Tensor:
        """The same step without a graph: blocks of coordinates that stay in the cache, state overwritten.

        tanh(z) = 1 - 2σ(-2z) turns every nonlinearity into the sigmoid, which is several times cheaper here; the
        factor -2 of the candidate gate is folded into its weights.
        """
        units = self.hidden
        weights = [self._fold(phi[f"lstm{k}.weight"]) for k in range(self.layers)]
        biases = [self._fold(phi[f"lstm{k}.bias"]).unsqueeze(1) for k in range(self.layers)]
        output = torch.empty_like(grad)
        for start in range(0, len(grad), BLOCK):
            block = slice(start, start + BLOCK)
            x = self.preprocess(grad[block])
            for k in range(self.layers):
                h, c = hidden[k, :, block], cell[k, :, block]
                gates = torch.addmm(biases[k], weights[k], torch.cat([x, h])).sigmoid_()
                i, f, o, candidate = gates.view(4, units, -1).unbind()
                c.mul_(f).add_(i).addcmul_(i, candidate, value=-2)
                x = torch.addcmul(o, o, torch.mul(c, -2, out=candidate).sigmoid_(), value=-2, out=h)
            torch.addmm(phi["output.bias"].unsqueeze(1), phi["output.weight"], x, out=output[None, block])
        return output

    def _fold(self, parameter: Tensor) -> Tensor:
        """Weights or biases of the four gates, those of the candidate times -2."""
        return torch.cat([parameter[: 3 * self.hidden], -2 * parameter[3 * self.hidden :]])
