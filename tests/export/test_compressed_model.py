"""What compress makes of a model is what its packed file holds, in either order."""

import jax
import numpy as np
import pytest

from wfm_jax import compress
from wfm_jax.export.from_model import pack_model
from wfm_jax.export.grids import Uniform
from wfm_jax.export.packed import pack, unpack


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("group_size", [None, 16])
@pytest.mark.parametrize("bound", ["restricted", "half_step"])
def test_the_file_holds_the_effective_weights(bits, group_size, bound):
    key = jax.random.key(0)
    params = {
        "a": {"kernel": jax.random.normal(key, (64, 32)), "bias": jax.random.normal(key, (32,))},
        "b": {"kernel": jax.random.normal(key, (32, 48))},
    }
    prune = compress.matching("*/kernel", compress.magnitude_prune(0.75))
    snap = compress.quantize(bits, group_size=group_size, bound=bound)
    half = compress.matching("*/bias", compress.store_half())
    states = {}
    for name, stage in {"prune": prune, "snap": snap, "half": half}.items():
        params, states[name] = stage.update(params, stage.init(params, key=key))

    @jax.jit
    def forward_sees(params):
        params = half.apply(params, states["half"])
        return prune.apply(snap.apply(params, states["snap"]), states["prune"])

    effective = compress.flatten(forward_sees(params))
    packed = pack_model(
        effective,
        keep=states["prune"].keep,
        grids={path: Uniform(bits, scale) for path, scale in states["snap"].scale.items()},
        half={"a/bias"},
    )
    data = pack(packed)
    for name, tensor in unpack(data).items():
        np.testing.assert_array_equal(tensor.effective(), effective[name])
    assert len(data) < 4 * sum(w.size for w in effective.values()) / 4
