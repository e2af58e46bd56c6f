"""What the README shows runs as it stands there."""

import re
from pathlib import Path

import torch
from torch import nn

ROOT = Path(__file__).parents[1]


def test_the_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    batches = [(torch.randn(16, 3, 2, 2), torch.randint(3, (16,))) for _ in range(12)]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    names = {"torch": torch, "model": model, "batches": batches, "optimizer": optimizer, "x": batches[0][0]}
    before, labels = model[1].weight.detach().clone(), batches[0][1]
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names | {"y": labels})
    assert not torch.equal(model[1].weight, before)
