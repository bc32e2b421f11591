"""What of the model shrinks together, and the ordinary model that is left.

=========  =================================================================  ==============
kind       a unit                                                             named
=========  =================================================================  ==============
heads      an attention head: columns of query, key, value, rows of out       block_0/heads
neurons    a neuron of an MLP: a column of up, a row of down                  block_0/neurons
branches   a layer's attention, or its MLP, with its norm and last bias       block_0/attention, ...
layers     both branches of a layer                                           block_0
=========  =================================================================  ==============

Of a layer that is stored as two factors, columns are those of its ``expand``, rows those of its
``reduce``; the other factor goes with the branch.

At least one head and one neuron stay: with the last one the bias behind it would have to go, which
is what removing the branch means. Branches and layers are single units and lie over the others.
Layers that go: Fan et al., "Reducing transformer depth on demand with structured dropout", 2019
(arXiv 1909.11556).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from wfm_jax import compress
from wfm_jax.compress import Coupling, Part
from wfm_jax.model.config import ModelConfig, dense_shapes
from wfm_jax.model.model import Params

KINDS = ("heads", "neurons", "branches", "layers")


def couplings(
    config: ModelConfig, kinds: tuple[str, ...] = ("heads", "neurons")
) -> tuple[Coupling, ...]:
    """What of the model shrinks together, for :func:`wfm_jax.compress.prune_units`.

    Args:
        config: the architecture.
        kinds: of ``heads``, ``neurons``, ``branches``, ``layers``.

    Raises:
        ValueError: unknown kind; lists the allowed ones.
    """
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise ValueError(f"kinds must be of {', '.join(KINDS)}, got {', '.join(unknown)}")
    found = []
    for i, (heads, width) in enumerate(zip(config.heads, config.mlp_widths, strict=True)):
        block = f"block_{i}"
        attention, mlp = f"{block}/attention", f"{block}/mlp"
        of_head = _inner(config, attention, ("query", "key", "value"), "out", config.head_dim)
        of_neuron = _inner(config, mlp, ("up",), "down", 1)
        branches = {}
        if heads:
            found.append(Coupling(f"{block}/heads", heads, of_head, "heads"))
            branches["attention"] = _whole(of_head, heads) + _outer(config, attention, "out")
        if width:
            found.append(Coupling(f"{block}/neurons", width, of_neuron, "neurons"))
            branches["mlp"] = _whole(of_neuron, width) + _outer(config, mlp, "down")
        for name, parts in branches.items():
            found.append(Coupling(f"{block}/{name}", 1, parts, "branches", least=0))
        found.append(Coupling(block, 1, sum(branches.values(), ()), "layers", least=0))
    return tuple(coupling for coupling in found if coupling.kind in kinds)


def _inner(
    config: ModelConfig, branch: str, first: tuple[str, ...], last: str, block: int
) -> tuple[Part, ...]:
    """A unit inside a branch: columns and biases of the first layers, rows of the last."""
    behind = [_factor(config, f"{branch}/{name}", "expand") for name in first]
    columns = [Part(f"{layer}/kernel", 1, block) for layer in behind]
    biases = [Part(f"{layer}/bias", 0, block) for layer in behind]
    rows = Part(f"{_factor(config, f'{branch}/{last}', 'reduce')}/kernel", 0, block)
    return (*columns, *biases, rows)


def _factor(config: ModelConfig, layer: str, name: str) -> str:
    """Where a dense layer's outputs (``expand``) or inputs (``reduce``) are."""
    return f"{layer}/{name}" if layer in dict(config.ranks) else layer


def _whole(parts: tuple[Part, ...], size: int) -> tuple[Part, ...]:
    return tuple(part._replace(block=size * part.block) for part in parts)


def _outer(config: ModelConfig, branch: str, last: str) -> tuple[Part, ...]:
    """What a branch has beside its inner units: the last bias, the norm, the stream's factors."""
    bias = f"{_factor(config, f'{branch}/{last}', 'expand')}/bias"
    vectors = (bias, f"{branch}_norm/scale", f"{branch}_norm/bias")
    parts = [Part(path, 0, config.d_model) for path in vectors]
    for layer, rank in config.ranks:
        if layer == f"{branch}/{last}":
            parts.append(Part(f"{layer}/expand/kernel", 0, rank))
        elif layer.startswith(f"{branch}/"):
            parts.append(Part(f"{layer}/reduce/kernel", 1, rank))
    return tuple(parts)


def shrunk_config(config: ModelConfig, unit_masks: Mapping[str, Any]) -> ModelConfig:
    """The architecture that is left; layers of which nothing is left are not in it.

    Dense layers that are left keep their ranks, under their new names.

    Args:
        config: the architecture that was pruned.
        unit_masks: bool[size] by coupling name, ``True`` where the unit stays; what has no mask
            stays.

    Raises:
        ValueError: a mask that is none of this architecture's, or no layer left.
    """
    sizes = {coupling.name: coupling.size for coupling in couplings(config, KINDS)}
    if unknown := sorted(set(unit_masks) - set(sizes)):
        raise ValueError(f"no such units in the model: {', '.join(unknown)}")

    counts = sizes | {name: int(np.sum(mask)) for name, mask in unit_masks.items()}

    def left(block: str, branch: str, units: str) -> int:
        stays = counts[block] and counts.get(f"{block}/{branch}", 0)
        return counts[f"{block}/{units}"] if stays else 0

    blocks = [f"block_{i}" for i in range(config.n_layers)]
    layers = {b: (left(b, "attention", "heads"), left(b, "mlp", "neurons")) for b in blocks}
    layers = {block: layer for block, layer in layers.items() if any(layer)}
    if not layers:
        raise ValueError("of a model at least one branch must stay")
    heads, mlp_widths = zip(*layers.values(), strict=True)
    small = dataclasses.replace(config, heads=heads, mlp_widths=mlp_widths, ranks=())
    renamed = {
        layer.replace(block, f"block_{i}", 1): rank
        for i, block in enumerate(layers)
        for layer, rank in config.ranks
        if layer.startswith(f"{block}/")
    }
    there = dense_shapes(small)
    ranks = sorted((layer, rank) for layer, rank in renamed.items() if layer in there)
    return dataclasses.replace(small, ranks=tuple(ranks))


def shrink_model(
    config: ModelConfig, params: Params, unit_masks: Mapping[str, Any]
) -> tuple[ModelConfig, Params]:
    """The smaller model that computes what the masked one does: :func:`wfm_jax.compress.shrink`.

    Layers that are left move up: where ``block_1`` is gone, ``block_2`` takes its name.

    Args:
        config: the architecture that was pruned.
        params: its parameters, masked or not.
        unit_masks: as for :func:`shrunk_config`.

    Returns:
        Its architecture and its parameters, for :func:`wfm_jax.model.build` and
        :func:`wfm_jax.train.model_files.save_teacher`.

    Raises:
        ValueError: as :func:`shrunk_config`, or masks that leave no head or no neuron of a branch.
    """
    small = shrunk_config(config, unit_masks)
    masked = tuple(c for c in couplings(config, KINDS) if c.name in unit_masks)
    cut = compress.shrink(params, unit_masks, masked)
    blocks = [block for i in range(config.n_layers) if (block := f"block_{i}") in cut]
    rest = {name: leaf for name, leaf in cut.items() if name not in blocks}
    return small, rest | {f"block_{i}": cut[block] for i, block in enumerate(blocks)}
