"""What the optimizers made of LSTM cells share: their size, their inputs, and the meta-parameters of their layers."""

import math
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.cell import BLOCK, random_network

# What the paper and DeepMind's release set outside quadratics; on quadratics both use no preprocessing and scale 1.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"hidden": 20, "layers": 2, "preprocessing": "log", "p": 10.0, "output_scale": 0.1},
    "deepmind-release": {"hidden": 20, "layers": 2, "preprocessing": "log", "p": 5.0, "output_scale": 0.01},
}


class RecurrentOptimizer(LearnedOptimizer):
    """Layers of LSTM cells under a linear output: weights shared over coordinates, a state for each of them.

    Source: Andrychowicz et al. 2016, section 2.1 (two layers of 20 units) and appendix A (preprocessing).
    """

    architecture: ClassVar[tuple[str, ...]] = ("hidden", "layers", "preprocessing", "p", "output_scale")
    compiled_up_to: ClassVar[float] = BLOCK

    preset: Literal["paper", "deepmind-release"] | None = None
    """Values for the parameters below that are not given themselves."""
    hidden: int = Field(default=20, ge=1, le=1024)
    """Units of each layer. The default is the paper's."""
    layers: int = Field(default=2, ge=1, le=16)
    """Layers of cells. The default is the paper's."""
    preprocessing: Literal["log", "log-linear", "none"] = "log"
    """`log`: the paper's two inputs. `log-linear`: those and g · e^{p/2}, so that an update in proportion to the
    gradient, as momentum makes it, is within easy reach. `none`: the gradient itself."""
    p: float = Field(default=10.0, gt=0, le=80)
    """Gradients from e^-p upwards enter by logarithm and sign, smaller ones linearly (appendix A)."""
    output_scale: float = Field(default=0.1, gt=0)
    """Multiplies the network's output: an untrained network then takes small steps. The default is the paper's."""
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained. For learning-rate schedules on the drop-in optimizer."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, dict) else None
        return {**PRESETS.get(preset, {}), **values} if isinstance(preset, str) else values

    @property
    def inputs(self) -> int:
        """How many numbers the first layer is given for each coordinate."""
        return {"log": 2, "log-linear": 3, "none": 1}[self.preprocessing]

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        inputs = self.inputs
        for k in range(self.layers):
            shapes[f"lstm{k}.weight"] = (4 * self.hidden, inputs + self.hidden)
            shapes[f"lstm{k}.bias"] = (4 * self.hidden,)
            inputs = self.hidden
        return {**shapes, "output.weight": (1, self.hidden), "output.bias": (1,)}

    def random_network(self, generator: torch.Generator) -> Tensors:
        return random_network(self.network_shapes(), generator)

    def flops_per_coordinate(self) -> float | None:
        preprocessing = {"log": 5, "log-linear": 6, "none": 0}[self.preprocessing]
        widths = [self.inputs, *[self.hidden] * (self.layers - 1)]
        # A layer: four gates with their nonlinearities, then f c, i c̃, their sum, its tanh and o times that. A product
        # of length k that begins at the bias takes 2 k.
        layers = sum(self.hidden * (8 * (width + self.hidden) + 4 + 5) for width in widths)
        return preprocessing + layers + 2 * self.hidden + 2  # the output: product, bias, scale

    def preprocess(self, grad: Tensor) -> Tensor:
        """Inputs of the network from gradients.

        Args:
            grad: `[coordinates]`.

        Returns:
            `[inputs, coordinates]`, with one to three inputs.

        Source: Andrychowicz et al. 2016, appendix A.
        """
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

    def _phi(self, like: Tensor) -> Tensors:
        """The meta-parameters in the kind of number that the gradients have."""
        return {name: tensor.to(like) for name, tensor in self.meta_parameters.items()}
