"""What the kernel tells of a processor."""

import platform

import pytest

from catfish import processor

INTEL = (
    "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu avx512f {}\n"
    "processor\t: 1\nmodel name\t: Xeon\nflags\t\t: fpu\n"
)


@pytest.mark.parametrize(
    "text, name, units",
    [
        (INTEL.format("amx_bf16 avx512_bf16"), "Xeon x2", ["AMX, a matrix unit for bfloat16", "AVX512-BF16"]),
        (INTEL.format("avx512_bf16"), "Xeon x2", ["AVX512-BF16"]),
        (INTEL.format(""), "Xeon x2", []),
        (INTEL.format("no_bf16"), "Xeon x2", []),
        ("Features\t: fp asimd bf16\n", None, ["bfloat16 instructions (ARM)"]),
        ("", None, []),
        (None, None, []),
    ],
)
def test_name_and_bfloat16(tmp_path, monkeypatch, text, name, units):
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert processor.bfloat16_units() == units
    assert processor.name() == (name or platform.processor() or platform.machine())
