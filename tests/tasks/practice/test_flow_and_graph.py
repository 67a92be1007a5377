"""The flow's likelihood is one, and the graph's points are ink that is joined with what is nearest."""

import math

import pytest
import torch

from l2obench.tasks.data.digits import digits
from l2obench.tasks.practice.flow import MARGIN, Coupling, Flow, RealNVP
from l2obench.tasks.practice.graph import NEIGHBOURS, POINTS, Graph, graphs


def moved(module: torch.nn.Module) -> torch.nn.Module:
    """The module away from its start, where couplings are the identity."""
    for value in module.parameters():
        value.data += 0.1 * torch.randn_like(value)
    return module.double()


def test_the_log_density_is_that_of_a_change_of_variables() -> None:
    torch.manual_seed(0)
    flow = moved(RealNVP(units=8, couplings=5))
    image = torch.rand(64, dtype=torch.float64)

    def code(image: torch.Tensor) -> torch.Tensor:
        values = (MARGIN + (1 - 2 * MARGIN) * image).logit().unsqueeze(0)
        for coupling in flow.couplings:  # type: ignore[union-attr]
            values = coupling(values)[0]
        return values[0]

    volume = torch.linalg.slogdet(torch.func.jacrev(code)(image)).logabsdet
    expected = volume - code(image).square().sum() / 2 - 32 * math.log(2 * math.pi)
    torch.testing.assert_close(flow(image.unsqueeze(0))[0], expected)


@pytest.mark.parametrize("index", range(5))
def test_a_coupling_keeps_half_of_the_values_and_its_successor_the_other(index: int) -> None:
    torch.manual_seed(0)
    values = torch.randn(3, 64, dtype=torch.float64)
    kept = [(moved(Coupling(8, k))(values)[0] == values).all(0) for k in (index, index + 1)]
    assert kept[0].sum() == kept[1].sum() == 32
    if index % 2 == 0:
        assert torch.equal(kept[0], ~kept[1])


def test_no_density_has_fewer_bits_than_the_digits_it_was_fitted_to() -> None:
    """Fitted to four digits, the best that is possible are two bits a digit: the noise takes away the rest."""
    torch.manual_seed(0)
    task, four = Flow(units=64), Flow().training_data()[:4]
    model = task.make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(200):
        loss = task.batch_loss(model, four)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert 2 / 64 < sum(losses[-20:]) / 20 < 0.5 * losses[0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_points_are_ink(split: str) -> None:
    places, _ = graphs(split)  # type: ignore[arg-type]
    images = digits("mnist5k", split).inputs  # type: ignore[arg-type]
    assert places.shape == (len(images), POINTS, 2)
    rows, columns = ((places + 1) * 14).clamp(0, 27.999).long().unbind(2)
    pixels = rows * 28 + columns
    assert (images.gather(1, pixels) > 0).float().mean() > 0.9999  # float32 may round a point into the next pixel
    assert all(len(set(row)) >= POINTS - 1 for row in pixels[:100].tolist())


def test_a_point_is_joined_with_its_nearest() -> None:
    places, neighbours = graphs("train")
    assert neighbours.shape == (len(places), POINTS, NEIGHBOURS)
    for cloud, joined in zip(places[:20], neighbours[:20], strict=True):
        expected = torch.cdist(cloud, cloud, compute_mode="donot_use_mm_for_euclid_dist").argsort(1)[:, 1:]
        assert torch.equal(joined.sort(1).values, expected[:, :NEIGHBOURS].sort(1).values)


def test_scores_of_a_graph_do_not_depend_on_the_order_of_its_points() -> None:
    torch.manual_seed(0)
    model = Graph(units=8).make_model().eval()
    places, neighbours = (part[:2] for part in graphs("train"))
    order = torch.randperm(POINTS)
    again = places[:, order], order.argsort()[neighbours[:, order]]
    torch.testing.assert_close(model((places, neighbours)), model(again))
