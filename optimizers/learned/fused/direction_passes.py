"""The compiled passes over a tensor's coordinates that `controller` makes: sums, Adam's direction, the mixture."""

import numpy as np

from l2obench.optimizers.learned.fused.compiling import BLOCK, ONE, ZERO, Array, compiled


@compiled(entry=True)
def sum_products(grad: Array, param: Array, mean: Array, square: Array, last: Array, sums: Array) -> None:
    """Sums over the coordinates of each replica, before the gradient enters the state.

    Args:
        grad: g, `[replicas, coordinates]`, as all that follow.
        param: θ.
        mean: m.
        square: v.
        last: the last direction d.
        sums: of g², m², g m, g d, v and θ², `[6, replicas]`; written.
    """
    for row in range(len(grad)):
        for start in range(0, grad.shape[1], BLOCK):
            g, p = grad[row, start : start + BLOCK], param[row, start : start + BLOCK]
            m, v = mean[row, start : start + BLOCK], square[row, start : start + BLOCK]
            d = last[row, start : start + BLOCK]
            gg, mm, gm, gd, vs, pp = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
            for k in range(len(g)):
                gg += g[k] * g[k]
                mm += m[k] * m[k]
                gm += g[k] * m[k]
                gd += g[k] * d[k]
                vs += v[k]
                pp += p[k] * p[k]
            # In double precision over blocks in single.
            sums[0, row] += float(gg)
            sums[1, row] += float(mm)
            sums[2, row] += float(gm)
            sums[3, row] += float(gd)
            sums[4, row] += float(vs)
            sums[5, row] += float(pp)


@compiled(entry=True)
def take_gradient(
    grad: Array, mean: Array, square: Array, last: Array, rates: Array, scales: Array, square_rate: float,
    correction: float, epsilon: float, ahead: Array, adam: Array, sums: Array,
) -> None:  # fmt: skip
    """Both moments with the gradient in them, and Adam's direction with Nesterov's look-ahead.

    Args:
        grad: g, `[replicas, coordinates]`.
        mean: m, likewise; written.
        square: v, likewise; written.
        last: the last direction d, likewise.
        rates: 1 − β₁ of each replica.
        scales: what the look-ahead is multiplied by in each replica.
        square_rate: 1 − β₂.
        correction: what v is multiplied by under the root.
        epsilon: beside the root.
        ahead: m̂, like `grad`, or without coordinates where nobody needs it; written.
        adam: A = m̂ / (√v̂ + ε), like `grad`; written. It may be `last`.
        sums: of A², and of D², D d and D g as if D were A, `[4, replicas]`; written.
    """
    for row in range(len(grad)):
        rate, scale, keeps = rates[row], scales[row], ahead.shape[1] > 0
        for start in range(0, grad.shape[1], BLOCK):
            g, d = grad[row, start : start + BLOCK], last[row, start : start + BLOCK]
            m, v = mean[row, start : start + BLOCK], square[row, start : start + BLOCK]
            a = adam[row, start : start + BLOCK]
            for k in range(len(g)):
                m[k] += rate * (g[k] - m[k])
                v[k] += square_rate * (g[k] * g[k] - v[k])
            if keeps:
                far = ahead[row, start : start + BLOCK]
                for k in range(len(g)):
                    far[k] = (m[k] + rate * (g[k] - m[k])) * scale
            aa, ad, ag = ZERO, ZERO, ZERO
            for k in range(len(g)):
                value = (m[k] + rate * (g[k] - m[k])) * scale / (np.sqrt(v[k] * correction) + epsilon)
                aa += value * value
                ad += value * d[k]
                ag += value * g[k]
                # Last: it may be the memory of d.
                a[k] = value
            sums[0, row] += float(aa)
            sums[1, row] += float(aa)
            sums[2, row] += float(ad)
            sums[3, row] += float(ag)


@compiled(entry=True)
def mix(
    orthogonal: Array, adam: Array, last: Array, grad: Array, shares: Array, is_embedding: Array, small: float,
    sums: Array,
) -> None:  # fmt: skip
    """D = p O / rms(O) + (1 − p) A / rms(A), brought to rms 1; of an embedding A.

    Args:
        orthogonal: O, `[replicas, coordinates]`; overwritten.
        adam: A, likewise.
        last: the last direction d, likewise; D is written there.
        grad: g, likewise.
        shares: p of each replica.
        is_embedding: for each replica.
        small: beside each rms.
        sums: from `take_gradient`; those of D are written.
    """
    coordinates = grad.shape[1]
    for row in range(len(grad)):
        if is_embedding[row]:
            for k in range(coordinates):
                last[row, k] = adam[row, k]
            continue
        of_orthogonal = 0.0
        for start in range(0, coordinates, BLOCK):
            o, total = orthogonal[row, start : start + BLOCK], ZERO
            for k in range(len(o)):
                total += o[k] * o[k]
            of_orthogonal += float(total)
        share = shares[row]
        first = share / (np.float32(np.sqrt(of_orthogonal / coordinates)) + small)
        second = (ONE - share) / (np.float32(np.sqrt(sums[0, row] / coordinates)) + small)
        all_xx, all_xd, all_xg = 0.0, 0.0, 0.0
        for start in range(0, coordinates, BLOCK):
            o, a = orthogonal[row, start : start + BLOCK], adam[row, start : start + BLOCK]
            d, g = last[row, start : start + BLOCK], grad[row, start : start + BLOCK]
            xx, xd, xg = ZERO, ZERO, ZERO
            for k in range(len(o)):
                value = first * o[k] + second * a[k]
                o[k] = value
                xx += value * value
                xd += value * d[k]
                xg += value * g[k]
            all_xx += float(xx)
            all_xd += float(xd)
            all_xg += float(xg)
        scale = ONE / (np.float32(np.sqrt(all_xx / coordinates)) + small)
        for k in range(coordinates):
            last[row, k] = scale * orthogonal[row, k]
        sums[1, row], sums[2, row], sums[3, row] = all_xx * scale * scale, all_xd * scale, all_xg * scale


@compiled(entry=True)
def descend(direction: Array, param: Array, sizes: Array, decays: Array, update: Array) -> None:
    """u = −size · D − decay · θ.

    Args:
        direction: D, `[replicas, coordinates]`.
        param: θ, likewise, or without coordinates where nothing decays.
        sizes: of each replica.
        decays: likewise.
        update: u, like `direction`; written.
    """
    for row in range(len(direction)):
        size, decay, decaying = sizes[row], decays[row], param.shape[1] > 0
        for start in range(0, direction.shape[1], BLOCK):
            d, u = direction[row, start : start + BLOCK], update[row, start : start + BLOCK]
            if decaying:
                p = param[row, start : start + BLOCK]
                for k in range(len(d)):
                    u[k] = -size * d[k] - decay * p[k]
            else:
                for k in range(len(d)):
                    u[k] = -size * d[k]
