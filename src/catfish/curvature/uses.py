"""How often a computation uses each parameter, from its autograd graph."""

from collections import Counter
from typing import Any


def uses(output: Any, stop: Any = None) -> Counter[int]:
    """Number of uses of every leaf tensor, by its id, between the graph's node `output` and the node `stop`."""
    found: Counter[int] = Counter()
    seen, waiting = {output}, [output]  # holding a node keeps its identity
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is None or node is stop:
                continue
            if hasattr(node, "variable"):
                found[id(node.variable)] += 1
            elif node not in seen:
                seen.add(node)
                waiting.append(node)
    return found
