"""Flags of adaptation: to what, by what, from how many labelled frames."""

import jax
from absl import flags

from wfm_jax.model import ModelConfig, param_shapes
from wfm_jax.signal.csi_csv import read_csi, replay_csi
from wfm_jax.signal.link import LinkConfig
from wfm_jax.signal.unseen import UNSEEN, replay_link, unseen_link
from wfm_jax.train.adapt import AdaptSettings, Leaves, LowRank, Method
from wfm_jax.train.adapt_study import AdaptStudy, on_link

_METHODS = ("probe", "lora", "full")
_SETTINGS = AdaptSettings()

_TARGETS = flags.DEFINE_list(
    "targets", ["nuremberg", "long_delays"], f"Links to adapt to, of {', '.join(UNSEEN)}."
)
_REPLAY = flags.DEFINE_string(
    "replay",
    None,
    "Another target, replay: channel responses that a radio measured, a CSV file of the ESP32 CSI "
    "tool.",
)
_WANTED = flags.DEFINE_list("methods", list(_METHODS), f"Methods, of {', '.join(_METHODS)}.")
_LABELS = flags.DEFINE_list(
    "labelled_frames", ["1000"], "Labelled frames, those held back among them: one or more numbers."
)
_SEEDS = flags.DEFINE_integer("labelled_sets", 3, "Sets of them, each adapted to.", lower_bound=1)
_STEPS = flags.DEFINE_integer(
    "adapt_steps", _SETTINGS.steps, "Optimizer steps of an adaptation.", lower_bound=1
)
_LOOKS = flags.DEFINE_integer(
    "adapt_looks", _SETTINGS.looks, "Looks at held-back frames; divides the steps.", lower_bound=1
)
_BATCH = flags.DEFINE_integer(
    "adapt_batch_size", _SETTINGS.batch_size, "Labelled frames a step.", lower_bound=1
)
_HELD_BACK = flags.DEFINE_float(
    "held_back",
    _SETTINGS.held_back,
    "Share of the labelled frames to choose by, above 0 and below 1.",
)
_PATTERN = flags.DEFINE_list(
    "lora_pattern",
    ["head_*/kernel:8", "block_*/kernel:1", "embed_*/token/kernel:1"],
    "Kernels that LoRA updates, by path, each pattern with the rank of its updates.",
)
_SCALE = flags.DEFINE_float(
    "lora_scale", 1.0, "Factor of LoRA's updates: alpha over rank.", lower_bound=1e-9
)
_HEADS = flags.DEFINE_list("probe_pattern", ["head_*"], "Leaves that a probe trains, by path.")
_RATES = {
    name: flags.DEFINE_float(
        f"{name}_learning_rate", rate, f"Peak learning rate of {name}.", lower_bound=1e-9
    )
    for name, rate in (("probe", 3e-3), ("lora", 3e-2), ("full", 3e-3))
}
_TEST_FRAMES = flags.DEFINE_integer(
    "adapt_test_frames", 800, "Test frames of a target, at least.", lower_bound=20
)
GROWABLE = ("targets", "labelled_frames")


def study(config: ModelConfig) -> AdaptStudy:
    """The study asked for, for a model; a bad value is an error that names its flag."""
    wanted = _listed(_WANTED)
    if unknown := [name for name in wanted if name not in _METHODS]:
        raise flags.ValidationError(f"--methods={unknown[0]}: one of {', '.join(_METHODS)}")
    return AdaptStudy(
        targets=_targets(config),
        methods={name: _method(name, config) for name in wanted},
        learning_rates={name: float(_RATES[name].value) for name in wanted},
        n_labelled=_counts(),
        seeds=tuple(range(_SEEDS.value)),
        settings=_settings(),
        n_test_frames=_TEST_FRAMES.value,
    )


def _settings() -> AdaptSettings:
    try:
        return AdaptSettings(
            steps=_STEPS.value,
            batch_size=_BATCH.value,
            held_back=_HELD_BACK.value,
            looks=_LOOKS.value,
        )
    except ValueError as error:
        raise flags.ValidationError(f"--held_back, --adapt_steps, --adapt_looks: {error}") from None


def _method(name: str, config: ModelConfig) -> Method:
    if name == "full":
        return Leaves("*")
    flag = _HEADS if name == "probe" else _PATTERN
    try:
        patterns = tuple(_listed(flag))
        method = Leaves(patterns) if name == "probe" else LowRank(_ranks(patterns), _SCALE.value)
        method.start(param_shapes(config), key=jax.random.key(0))
    except ValueError as error:
        raise flags.ValidationError(f"--{flag.name}: {error}") from None
    return method


def _ranks(patterns: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """``head_*/kernel:8`` as pattern and rank."""
    found = []
    for text in patterns:
        pattern, _, rank = text.rpartition(":")
        if not pattern or not rank.isdecimal():
            raise ValueError(f"write a pattern and a rank, like block_*/kernel:2, got {text!r}")
        found.append((pattern, int(rank)))
    return tuple(found)


def _targets(config: ModelConfig) -> dict[str, LinkConfig]:
    links = {}
    for name in _listed(_TARGETS, may_be_empty=_REPLAY.value is not None):
        try:
            links[name] = unseen_link(name, config.link)
            on_link(config, name, links[name])
        except ValueError as error:
            raise flags.ValidationError(f"--targets={name}: {error}") from None
    if _REPLAY.value is not None:
        try:
            links["replay"] = replay_link(replay_csi(read_csi(_REPLAY.value)), config.link)
        except (ValueError, OSError) as error:
            raise flags.ValidationError(f"--replay={_REPLAY.value}: {error}") from None
    return links


def _counts() -> tuple[int, ...]:
    counts = []
    for text in _listed(_LABELS):
        if not text.isdecimal() or int(text) < 2:
            raise flags.ValidationError(
                f"--labelled_frames={text}: whole numbers of at least 2 are needed"
            )
        counts.append(int(text))
    return tuple(sorted(set(counts)))


def _listed(flag: flags.FlagHolder, *, may_be_empty: bool = False) -> list[str]:
    values = list(dict.fromkeys(text.strip() for text in flag.value if text.strip()))
    if not values and not may_be_empty:
        raise flags.ValidationError(f"--{flag.name} is an empty list: give at least one value")
    return values
