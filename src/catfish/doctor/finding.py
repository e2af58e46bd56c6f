"""What the doctor says, and how sizes are written."""

from dataclasses import dataclass

OK, ADVICE, OBSTACLE = "ok", "advice", "obstacle"
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """A fact about this machine; an OBSTACLE makes the scale impossible, and it and ADVICE come with a cure."""

    kind: str
    text: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.kind:8}  {self.text}" + (f"\n{'':8}  -> {self.cure}" if self.cure else "")


def size(amount: float) -> str:
    """Bytes as GiB with two digits, such as 187 GiB or 1.5 GiB."""
    gib = amount / GIB
    return f"{gib:.0f} GiB" if gib >= 10 else f"{gib:.2g} GiB"
