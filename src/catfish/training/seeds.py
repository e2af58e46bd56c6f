"""Every random number of a run comes from a generator with a purpose of its own, so that none disturbs another."""

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose of a run; unrelated for different purposes."""
    digest = hashlib.sha256(repr((seed, *purpose)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(device: torch.device | str, seed: int, *purpose: str | int) -> torch.Generator:
    """A fresh generator on a device for one purpose of a run."""
    return torch.Generator(device).manual_seed(derive(seed, *purpose))
