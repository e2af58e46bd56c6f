import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PROGRAM = """
import resource, torch
from catfish.training.memory import keep_freed_memory
{call}
for _ in range(20):  # until the blocks have found their places
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a choice that glibc offers")
def test_freed_memory_is_used_again_without_the_system_clearing_it():
    def faults(call):
        command = [sys.executable, "-c", PROGRAM.format(call=call)]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)

    assert faults("keep_freed_memory()") < 100 < faults("")
