"""A model that several processes train together: `DistributedDataParallel`."""

import copy

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from catfish.penalties import FisherPenalty, GradientPenalty

PROCESSES, STEPS = 2, 4


def trained(model, penalty, batches):
    """The weights after each step of SGD with a penalty."""
    optimizer, weights = torch.optim.SGD(model.parameters(), lr=0.1), []
    for x, y in batches:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        penalty.add_gradient(x, y)
        optimizer.step()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    return torch.stack(weights)


def train_replica(rank, folder, model, batches):
    """One process: the first or second half of every batch."""
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    parts = [(x.chunk(PROCESSES)[rank], y.chunk(PROCESSES)[rank]) for x, y in batches]
    found = []
    for kind in (GradientPenalty, FisherPenalty):
        replica = DistributedDataParallel(copy.deepcopy(model))  # its tensors came in memory that is shared
        penalty = kind(replica, 0.3, every=2, generator=torch.Generator().manual_seed(rank))
        found.append(trained(replica, penalty, parts))
    torch.save(found, folder / f"weights{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture
def batches(make_batch):
    return [make_batch(number, size=6) for number in range(STEPS)]


@pytest.fixture
def replicas(model, batches, tmp_path):
    """The weights after each step, as two processes have them."""
    multiprocessing.spawn(train_replica, (tmp_path, model, batches), PROCESSES)
    return [torch.load(tmp_path / f"weights{rank}.pt") for rank in range(PROCESSES)]


def test_replicas_stay_the_same_and_their_batches_are_micro_batches(replicas, model, batches):
    (gradient, fisher), (second_gradient, second_fisher) = replicas
    assert torch.equal(gradient, second_gradient)
    assert torch.equal(fisher, second_fisher)  # with labels of their own
    alone = trained(model, GradientPenalty(model, 0.3, every=2, micro_batch=3), batches)
    torch.testing.assert_close(gradient, alone, rtol=1e-12, atol=1e-14)
