"""Where a sweep runs: configurations spread over the devices of one process or of many.

Every device has its share of the stacked configurations, and a copy of all that they share. No step
of training needs to hear from another device.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "config"
_SPREAD, _COPIED = PartitionSpec(AXIS), PartitionSpec()


class Devices(NamedTuple):
    """Devices, the same in every process.

    Attributes:
        mesh: of one axis, ``config``.
    """

    mesh: Mesh

    @classmethod
    def take(cls, n: int | None = None) -> "Devices":
        """The first ``n`` devices, or all of them.

        Raises:
            ValueError: there are not so many, or several processes and some would have none.
        """
        found = jax.devices()
        if n is not None and not 1 <= n <= len(found):
            raise ValueError(f"devices must be from 1 to {len(found)}, all there are, got {n}")
        if n is not None and jax.process_count() > 1 and n != len(found):
            raise ValueError(f"devices must be all {len(found)} in a run of several processes")
        return cls(Mesh(np.asarray(found[:n]), (AXIS,)))

    @property
    def n(self) -> int:
        """How many there are."""
        return self.mesh.size

    def spread(self, tree: Any) -> Any:
        """Arrays of the host with a leading config axis, a share of it on each device.

        The axis must be a multiple of the devices; every process holds the same arrays.
        """
        return _placed(tree, NamedSharding(self.mesh, _SPREAD))

    def copied(self, tree: Any) -> Any:
        """Arrays of the host, whole on each device."""
        return _placed(tree, NamedSharding(self.mesh, _COPIED))

    def spread_shapes(self, tree: Any) -> Any:
        """Shapes as of arrays that are :meth:`spread`."""
        return _shaped(tree, NamedSharding(self.mesh, _SPREAD))

    def copied_shapes(self, tree: Any) -> Any:
        """Shapes as of arrays that are :meth:`copied`."""
        return _shaped(tree, NamedSharding(self.mesh, _COPIED))

    def each(self, fn: Callable, n_spread: int) -> Callable:
        """``fn`` on every device for its own share.

        Args:
            fn: from arrays to arrays with a leading config axis.
            n_spread: the first so many of its arguments are spread, the others copied.
        """

        def on_mesh(*args: Any) -> Any:
            specs = tuple(_SPREAD if i < n_spread else _COPIED for i in range(len(args)))
            mapped = jax.shard_map(
                fn, mesh=self.mesh, in_specs=specs, out_specs=_SPREAD, check_vma=False
            )
            return mapped(*args)

        on_mesh.__name__ = getattr(fn, "__name__", on_mesh.__name__)  # what XLA's log calls it
        return on_mesh


def on_host(tree: Any) -> Any:
    """Arrays as NumPy, whole, in every process; typed keys stay keys."""

    def fetch(x: jax.Array) -> Any:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(fetch(jax.random.key_data(x)))
        if jax.process_count() == 1:
            return np.asarray(x)
        return multihost_utils.process_allgather(x, tiled=True)

    return jax.tree.map(fetch, tree)


def own_share(tree: Any) -> tuple[int, Any]:
    """What lies on this process's devices of arrays that are spread: the place of the first
    configuration, and NumPy arrays; typed keys are left out (None)."""
    start = min(_first(shard) for shard in jax.tree.leaves(tree)[0].addressable_shards)

    def fetch(x: jax.Array) -> np.ndarray | None:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return None
        shards = sorted(x.addressable_shards, key=_first)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    return start, jax.tree.map(fetch, tree)


def _first(shard: Any) -> int:
    return shard.index[0].start or 0


def _placed(tree: Any, sharding: NamedSharding) -> Any:
    def place(x: Any) -> jax.Array:
        if hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(x)))
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(place, tree)


def _shaped(tree: Any, sharding: NamedSharding) -> Any:
    def shaped(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(np.shape(x), x.dtype, sharding=sharding)

    return jax.tree.map(shaped, tree)
