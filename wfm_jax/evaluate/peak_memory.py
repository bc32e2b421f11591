"""Memory of an ONNX file at work, measured in a process of its own that holds nothing else."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping

import numpy as np

from wfm_jax.export.onnx_session import EXACT

_LONGEST_S = 120.0
# Prints the bytes by which the process grew at most, from its imports to its last answer.
_PROGRAM = """
import io, json, pathlib, resource, sys
import numpy as np
import onnxruntime

STATUS = pathlib.Path("/proc/self/status")

def status(field):
    line = next(l for l in STATUS.read_text().splitlines() if l.startswith(field))
    return 1024 * int(line.split()[1])

def now_and_peak():
    if STATUS.exists():
        return status("VmRSS"), status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (peak,) * 2

given = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
fed = {name: given[name] for name in given.files}
try:
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
except OSError:
    pass
before, _ = now_and_peak()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
for entry, value in json.loads(sys.argv[2]).items():
    options.add_session_config_entry(entry, value)
session = onnxruntime.InferenceSession(
    sys.argv[1], options, providers=["CPUExecutionProvider"]
)
for _ in range(3):
    session.run(None, fed)
print(now_and_peak()[1] - before)
"""


def onnx_peak_bytes(path: str | os.PathLike, fed: Mapping[str, np.ndarray]) -> int:
    """Bytes that loading a file and answering take at most, beyond Python and ONNX Runtime.

    Args:
        path: of the ONNX file.
        fed: its inputs, by name.

    Raises:
        RuntimeError: the process did not answer; says its last line.
    """
    packed = io.BytesIO()
    np.savez(packed, **dict(fed))  # type: ignore
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, os.fspath(path), json.dumps(EXACT)],
        input=packed.getvalue(),
        capture_output=True,
        timeout=_LONGEST_S,
        check=False,
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{path}: its memory could not be measured: {' '.join(last)}")
    return int(done.stdout)
