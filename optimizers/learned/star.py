"""STAR: a learned optimizer held near a hand-designed one."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from l2obench.optimizers.learned.accumulators import Accumulators
from l2obench.optimizers.learned.adafac_mlp import AdafacMLP


class STAR(AdafacMLP):
    """u = −(α · e^{0.001 b} · n + 0.001 · d · e^{0.001 a} / √(v + 1e-6)) with [d, a, b] = net(features).

    The nominal term n = mean over β of m_β / √(v + 1e-6) is Adam's direction over three momenta; the network controls
    its size by b. The network's own term is preconditioned likewise, so that its size does not depend on the
    gradient's. Features and accumulators are those of `adafac-mlp`.

    State: that of `adafac-mlp`.

    Source: Harrison, Metz & Sohl-Dickstein 2022, "A closer look at learned optimization: stability, robustness, and
    inductive biases", with the values of the released code (google/learned_optimization, `adafac_nominal.py`: estimator
    `AdamAggMo`, a nominal controller, the blackbox normalised). Ours is α = 1e-3, which that code leaves at 0 until it
    is set. Their penalty on the square of the meta-parameters belongs to training and is not here.
    """

    name: ClassVar[str] = "star"
    has_fused_step: ClassVar[bool] = True
    architecture: ClassVar[tuple[str, ...]] = (*AdafacMLP.architecture, "nominal_size")
    outputs: ClassVar[int] = 3

    nominal_size: float = Field(default=1e-3, ge=0)
    """α: the size of the nominal term, Adam's default learning rate."""

    def flops_per_coordinate(self) -> float | None:
        alone = super().flops_per_coordinate()
        return None if alone is None else alone + 1 + 3 + 2 + 2 + 1  # / √v; mean; exp of its controller; sizes; sum

    def _update(self, outputs: Tensor, accumulators: Accumulators) -> Tensor:
        own = super()._update(outputs[:2], accumulators) * accumulators.inverse_root
        nominal = accumulators.directions.mean(0) * (outputs[2] * self.magnitude_scale).exp()
        return own + nominal * self.nominal_size

    def _sizes(self) -> tuple[float, ...]:
        return self.step_size, self.nominal_size
