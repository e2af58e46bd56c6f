"""What the steps of a run are computed in. bfloat16 that a device emulates is many times slower than float32."""

from functools import cache

import torch

from catfish import processor
from catfish.plan import Run


def trained_in(run: Run, device: torch.device) -> str:
    """bf16 where the run wants it and the device multiplies it, else fp32."""
    return "bf16" if run.precision == "bf16" and multiplies_bfloat16(device) else "fp32"


@cache
def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(processor.bfloat16_units())
