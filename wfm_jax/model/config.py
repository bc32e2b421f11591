"""The architecture, static and hashable, and its size presets."""

import dataclasses
from typing import Any

from wfm_jax.signal import link_fields
from wfm_jax.signal.link import LinkConfig

VIEWS = ("grid", "csi", "spectrogram", "iq")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A transformer over the views of a frame.

    Attributes:
        link: geometry of the frames it reads.
        d_model: width of the residual stream.
        heads: attention heads of each layer, 0 for none; its length is the number of layers.
        head_dim: width of one head.
        mlp_widths: hidden neurons of each layer's MLP, 0 for none.
        views: the views it reads, of ``grid``, ``csi``, ``spectrogram``, ``iq``.
        patch_subcarriers: subcarriers of a token of the frequency-aligned views (grid, csi,
            spectrogram); a token spans the whole frame in time.
        iq_segment: samples of a token of the ``iq`` view; the last one is filled up with zeros.
        ranks: pairs of a dense layer of :func:`dense_shapes` and the rank of the two factors that
            it is stored as, sorted; other layers are plain. A rank is at least 1 and below d_model,
            which is one side of every such layer and stays when units are cut out: what is left of
            the other side may then be less than the rank.

    The parameters' shapes do not depend on the size of the frames: with another link of the same
    constellations (``dataclasses.replace(config, link=...)``) the same parameters read its frames.
    """

    link: LinkConfig = LinkConfig()
    d_model: int = 64
    heads: tuple[int, ...] = (4, 4, 4)
    head_dim: int = 16
    mlp_widths: tuple[int, ...] = (256, 256, 256)
    views: tuple[str, ...] = VIEWS
    patch_subcarriers: int = 2
    iq_segment: int = 16
    ranks: tuple[tuple[str, int], ...] = ()

    def __post_init__(self):
        if len(self.heads) != len(self.mlp_widths) or not self.heads:
            raise ValueError(
                f"heads and mlp_widths need one entry per layer, got {len(self.heads)} and "
                f"{len(self.mlp_widths)}"
            )
        layers = zip(self.heads, self.mlp_widths, strict=True)
        if any(min(layer) < 0 or max(layer) == 0 for layer in layers):
            raise ValueError(
                f"heads and mlp_widths must be at least 0, and not both 0 in one layer, got "
                f"{self.heads} and {self.mlp_widths}"
            )
        unknown = set(self.views) - set(VIEWS)
        if unknown or not self.views or len(set(self.views)) < len(self.views):
            raise ValueError(f"views must be distinct and of {VIEWS}, got {self.views}")
        if self.patch_subcarriers < 1 or self.link.n_subcarriers % self.patch_subcarriers:
            raise ValueError(
                f"patch_subcarriers must divide {self.link.n_subcarriers}, "
                f"got {self.patch_subcarriers}"
            )
        if self.d_model % 2 or self.d_model < 2:
            raise ValueError(f"d_model must be even and positive, got {self.d_model}")
        if self.iq_segment < 1:
            raise ValueError(f"iq_segment must be at least 1, got {self.iq_segment}")
        _check_ranks(self)

    @property
    def n_layers(self) -> int:
        """Encoder blocks."""
        return len(self.heads)

    @property
    def n_patches(self) -> int:
        """Tokens of the frequency-aligned views."""
        return self.link.n_subcarriers // self.patch_subcarriers

    @property
    def n_segments(self) -> int:
        """Tokens of the ``iq`` view; none where the model does not read it."""
        return -(-self.link.n_samples // self.iq_segment) if "iq" in self.views else 0

    @property
    def n_tokens(self) -> int:
        """All tokens: the frame token, the patches, the segments."""
        return 1 + self.n_patches + self.n_segments

    @property
    def n_modulations(self) -> int:
        """Constellations to tell apart; as a token, this number stands for none being told."""
        return len(self.link.bits_per_symbol)


def dense_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of the dense layers of the encoder blocks, by path, factored or not.

    >>> dense_shapes(ModelConfig(d_model=8, heads=(0,), mlp_widths=(32,)))
    {'block_0/mlp/up': (8, 32), 'block_0/mlp/down': (32, 8)}
    """
    shapes, d = {}, config.d_model
    for i, (heads, width) in enumerate(zip(config.heads, config.mlp_widths, strict=True)):
        inner = heads * config.head_dim
        if heads:
            names = ("query", "key", "value")
            shapes |= {f"block_{i}/attention/{name}": (d, inner) for name in names}
            shapes[f"block_{i}/attention/out"] = (inner, d)
        if width:
            shapes |= {f"block_{i}/mlp/up": (d, width), f"block_{i}/mlp/down": (width, d)}
    return shapes


def _check_ranks(config: ModelConfig) -> None:
    pairs = isinstance(config.ranks, tuple) and all(
        isinstance(pair, tuple) and tuple(map(type, pair)) == (str, int) for pair in config.ranks
    )
    layers = [layer for layer, _ in config.ranks] if pairs else []
    if not pairs or layers != sorted(set(layers)):
        raise ValueError(
            f"ranks must be pairs of a layer and its rank, sorted and distinct, got {config.ranks}"
        )
    if unknown := sorted(set(layers) - set(dense_shapes(config))):
        raise ValueError(f"ranks: the model has no dense layer {', '.join(unknown)}")
    for layer, rank in config.ranks:
        if not 1 <= rank < config.d_model:
            raise ValueError(
                f"ranks must be at least 1 and below d_model, {config.d_model}, "
                f"got {rank} for {layer}"
            )


def _uniform(d_model: int, n_layers: int, n_heads: int) -> ModelConfig:
    return ModelConfig(
        d_model=d_model,
        heads=(n_heads,) * n_layers,
        head_dim=d_model // n_heads,
        mlp_widths=(4 * d_model,) * n_layers,
    )


PRESETS = {
    "pico": _uniform(16, 2, 2),
    "nano": _uniform(64, 3, 4),
    "micro": _uniform(128, 4, 4),
    "small": _uniform(256, 8, 8),
    "base": _uniform(512, 12, 8),
    "large": _uniform(768, 12, 12),
}


def preset(name: str, link: LinkConfig | None = None) -> ModelConfig:
    """A size preset, for the given link.

    >>> preset("nano").n_layers, preset("nano").d_model
    (3, 64)

    Raises:
        ValueError: unknown name; lists the allowed ones.
    """
    if name not in PRESETS:
        raise ValueError(f"model size must be one of {', '.join(PRESETS)}, got {name!r}")
    config = PRESETS[name]
    return config if link is None else dataclasses.replace(config, link=link)


def to_dict(config: ModelConfig) -> dict[str, Any]:
    """The architecture and its link as JSON values.

    A model of plain layers has no ``ranks`` there: what identifies it is what it was before models
    could be factored.
    """
    fields = dataclasses.asdict(config)
    if not config.ranks:
        del fields["ranks"]
    return fields | {"link": link_fields.to_dict(config.link)}


def from_dict(fields: dict[str, Any]) -> ModelConfig:
    """The architecture that :func:`to_dict` wrote.

    Raises:
        ValueError: fields that this version does not know, or values that it does not allow.
    """

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value

    try:
        model: dict[str, Any] = {name: frozen(value) for name, value in fields.items()}
        model["link"] = link_fields.from_dict(fields["link"])
        return ModelConfig(**model)
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"not a model of this version: {error}") from None


def smaller(config: ModelConfig) -> ModelConfig:
    """The smaller student: every second layer, half of each MLP's neurons, the same stream.

    Which layers and neurons it starts with is the business of ``start_smaller``.

    Raises:
        ValueError: for a model of factored layers: the rule chooses by columns and rows of plain
            kernels. Make the model smaller first, and lower its ranks then.
    """
    if config.ranks:
        raise ValueError(
            f"a smaller student needs a model of plain layers, {config.ranks[0][0]} is factored"
        )
    keep = range(0, config.n_layers, 2)
    return dataclasses.replace(
        config,
        heads=tuple(config.heads[i] for i in keep),
        mlp_widths=tuple(max(min(1, n), n // 2) for n in config.mlp_widths[::2]),
    )


def reading(config: ModelConfig, views: tuple[str, ...]) -> ModelConfig:
    """The same model that reads some of its views only: fewer tokenizers, and without ``iq`` fewer
    tokens.

    >>> nano = preset("nano")
    >>> nano.n_tokens, reading(nano, ("grid", "csi")).n_tokens
    (41, 17)

    Raises:
        ValueError: views that the model does not read, or no grid among them, of whose elements the
            bits are demapped.
    """
    if "grid" not in views or set(views) - set(config.views):
        raise ValueError(
            f"views must be grid, and others of {', '.join(config.views)}, got {', '.join(views)}"
        )
    return dataclasses.replace(config, views=tuple(v for v in config.views if v in views))
