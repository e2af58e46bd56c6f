import subprocess
import sys

CODE = """
import sys
from catfish.analysis import collect, figures, metrics, select, tables
print([name for name in ("torch", "torchvision", "matplotlib.pyplot") if name in sys.modules])
"""


def test_analysis_imports_neither_torch_nor_a_global_figure_state():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
