"""The processor: its name, and whether it multiplies bfloat16 or only emulates that."""

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {  # flags there -> what multiplies bfloat16 matrices
    "amx_bf16": "AMX, a matrix unit for bfloat16",
    "avx512_bf16": "AVX512-BF16",
    "bf16": "bfloat16 instructions (ARM)",
}


def name() -> str:
    """The processor's name and the number of its cores: `AMD EPYC x2`."""
    names = [value for key, value in _lines() if key == "model name"]
    return f"{names[0]} x{len(names)}" if names else platform.processor() or platform.machine()


def bfloat16_units() -> list[str]:
    """What multiplies bfloat16 here; empty where nothing does, or the system does not say."""
    flags = next((value.split() for key, value in _lines() if key in ("flags", "features")), [])
    return [text for flag, text in BFLOAT16.items() if flag in flags]


def _lines() -> list[tuple[str, str]]:
    """What the kernel writes of each core, as (key, value)."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return []
    parted = (line.partition(":") for line in lines)
    return [(key.strip().lower(), value.strip()) for key, _, value in parted]
