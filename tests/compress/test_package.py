import subprocess
import sys


def test_needs_no_layer_library_no_backend_and_no_other_room():
    script = """
import sys
import wfm_jax.compress
from jax._src import xla_bridge
print([name for name in ("flax", "scipy.stats", "orbax") if name in sys.modules])
print([name for name in sys.modules if name.startswith("wfm_jax.") and "compress" not in name])
print(xla_bridge.backends_are_initialized())
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:3] == ["[]", "[]", "False"]
