"""NTM-BFGS: an LSTM+GAC with a memory shared by all coordinates, read and written as BFGS does its inverse Hessian."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.foundation.replica_rows import flatten_replicas
from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.learned.gac import GAC


class NTMBFGS(GAC):
    """The controller, an LSTM+GAC, puts out for each coordinate its update u and an entry of the vectors r, a, b.

        i_t = M_t r_t, an input of the controller at step t + 1;  M_{t+1} = M_t + Σ_heads a_t b_tᵀ / n

    State: that of `gac`; `left` and `right`, the vectors a and b of the last writes, oldest first,
    `[seeds, settings, memory · writes, coordinates]`; `result` M r, `[seeds, settings, reads, coordinates]`.

    Source: Andrychowicz et al. 2016, "Information sharing between coordinates" (the second version's appendix D): M, an
    n × n matrix, stands for BFGS's approximation of the inverse Hessian; a read head gives a vector r, and M r is fed
    back at the following step; a write head gives a and b, whose outer product is added. One read head, three write
    heads and two averaging cells are enough to simulate BFGS. Memory is kept as in the paper's NTM-L-BFGS: M is never
    formed, only the a and b of the last `memory` steps, at a cost in proportion to n. With `memory` as long as the
    horizon nothing is forgotten: the full NTM-BFGS.

    Ours, as the paper does not say: M_0 = 0; heads are linear in the last layer's activations; M r enters as it is,
    without preprocessing; products bᵀ r are means over the n coordinates, so that M r has a scale that does not depend
    on n (a constant that φ could absorb). With `writes=0` or `memory=0` this is the controller alone.
    """

    name: ClassVar[str] = "ntm-bfgs"
    architecture: ClassVar[tuple[str, ...]] = (*GAC.architecture, "reads", "writes", "memory")

    reads: int = Field(default=1, ge=1, le=64)
    """Read heads."""
    writes: int = Field(default=3, ge=0, le=64)
    """Write heads: by so many ranks M changes at each step."""
    memory: int = Field(default=10, ge=0, le=10_000)
    """Steps whose writes are kept."""

    @property
    def inputs(self) -> int:
        return super().inputs + self.reads

    @property
    def heads(self) -> dict[str, int]:
        """Vectors that the controller puts out besides the update."""
        return {"read": self.reads, "left": self.writes, "right": self.writes}

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = super().network_shapes()
        for name, count in self.heads.items():
            shapes[f"{name}.weight"] = (count, self.hidden)
            shapes[f"{name}.bias"] = (count,)
        return shapes

    def flops_per_coordinate(self) -> float | None:
        controller = super().flops_per_coordinate()
        heads = sum(self.heads.values()) * (2 * self.hidden + 1)
        reading = 4 * self.reads * self.memory * self.writes  # bᵀ r, then its product with a
        return None if controller is None else controller + heads + reading

    def init(self, params: Tensors) -> State:
        seeds, settings, coordinates = flatten_replicas(params).shape
        state = super().init(params)
        none = state["hidden"].new_zeros(seeds, settings, self.memory * self.writes, coordinates)
        result = none.new_zeros(seeds, settings, self.reads, coordinates)
        return {**state, "left": none, "right": none.clone(), "result": result}

    def _network_outputs(self, grad: Tensor, state: State) -> tuple[Tensor, State]:
        phi = self._phi(grad)
        x = torch.cat([self.preprocess(grad.flatten()), state["result"].movedim(2, 0).flatten(1)])
        top, next_state = self._controller(phi, x, state)
        output, read, left, right = (
            (phi[f"{name}.weight"] @ top + phi[f"{name}.bias"].unsqueeze(1)).view(-1, *grad.shape).movedim(0, 2)
            for name in ("output", *self.heads)
        )
        overlaps = read @ state["right"].mT / grad.shape[-1]
        return output[:, :, 0], {
            **next_state,
            "left": torch.cat([state["left"], left], dim=2)[:, :, self.writes :],
            "right": torch.cat([state["right"], right], dim=2)[:, :, self.writes :],
            "result": overlaps @ state["left"],
        }
