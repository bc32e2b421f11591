"""The command of ``experiments.sweep`` that makes a row again, from the row and its manifest."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from experiments import axis_flags, sweep_flags, teacher_flags
from experiments.allocation_flag import allocation
from experiments.field_text import field_value
from wfm_jax.results.naming import is_reference
from wfm_jax.results.report.commands import Commands
from wfm_jax.sweep.configuration import Configuration, from_columns

WORKDIR = "runs/again"
_OF_POINTS = ("weight_bits", "sparsity")
_START = ["python", "-m", "experiments.sweep"]
_NOT_OF_A_ROW = {*axis_flags.GROWABLE, *sweep_flags.UNCOMPARED, "halving", "teacher_hash"}
_OTHER_ID = (
    "These settings have another config_id in this version: rows of an older version are compared "
    "by their settings."
)
_REFERENCE = "References come with every run of these flags."
_DROPPED = "Alone it is trained to its end: in its run, successive halving dropped it."


def commands(rows: Sequence[Mapping[str, Any]], of_run: Mapping[str, Any]) -> Commands:
    """The command of a run and those of its rows.

    Args:
        rows: of ``results.jsonl``.
        of_run: the manifest's flags; none where they are not known.
    """
    shared = [*_START, f"--workdir={WORKDIR}", *_shared(of_run)]
    found = [_own(row, of_run) for row in rows]
    return Commands(
        shlex.join(shared + _axes(of_run)) if of_run else "",
        shlex.join(shared),
        [shlex.join(own) for own, _ in found],
        [remark for _, remark in found],
    )


def _shared(of_run: Mapping[str, Any]) -> list[str]:
    """What all rows have in common and is not as by default: model, teacher, frames, batches."""
    known = flags.FLAGS
    asked = {name: value for name, value in of_run.items() if name not in _NOT_OF_A_ROW}
    teacher = asked.pop("teacher", "auto")
    if teacher == "auto":  # a run that trained its teacher does not know its hash beforehand
        teacher = "pretrained" if "teacher_hash" in of_run else "train"
    if teacher != "train":
        training = {flag.name for flag in known.get_flags_for_module(teacher_flags.__name__)}
        unread = {n for n in training if n != "model" and not n.endswith("_weight")}
        asked = {name: value for name, value in asked.items() if name not in unread}
    found = [f"--teacher={teacher}"] if of_run else []
    for name, value in asked.items():
        if name in known and value is not None and value != known[name].default:
            found.append(_flag(name, value))
    return found


def _axes(of_run: Mapping[str, Any]) -> list[str]:
    """The axes of the whole run, as far as they are not as by default."""
    found = []
    for name in dict.fromkeys(axis_flags.GROWABLE):
        value = of_run.get(name)
        if value is None or value == flags.FLAGS[name].default:
            continue
        found += [f"--space={term}" for term in value] if name == "space" else [_flag(name, value)]
    return found


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{'' if value else 'no'}{name}"
    return f"--{name}={','.join(map(str, value)) if isinstance(value, list) else value}"


def _own(row: Mapping[str, Any], of_run: Mapping[str, Any]) -> tuple[list[str], str]:
    """A row's own flags, and a remark; no flags where there is no such command."""
    if is_reference(row):
        return ["--pipelines=none"], _REFERENCE
    try:
        configuration = configuration_of(row)
        own = row_flags(configuration, of_run.get("allocations") or [])
    except (ValueError, TypeError, AttributeError) as error:
        return [], f"No command is known: {error}."
    same = configuration.config_id == row.get("config_id")
    remarks = ["" if same else _OTHER_ID, _DROPPED if row.get("status") == "dropped" else ""]
    return own, " ".join(filter(None, remarks))


def configuration_of(row: Mapping[str, Any]) -> Configuration:
    """What was asked of a row; settings that do not act are as the axes' flags are by default.

    Raises:
        ValueError: a row of no configuration of this version; one line.
    """
    if row.get("pipeline") is None:
        raise ValueError("the row has no pipeline")
    usual = {field: field_value(field, flag.default[0]) for field, flag in
             axis_flags.FLAG_OF.items() if field not in _OF_POINTS}  # fmt: skip
    stored = {name: row[name] for name in axis_flags.FLAG_OF if row.get(name) is not None}
    found = from_columns({**usual, **stored, "allocation": row.get("allocation")})
    plain = found.replace(scale="auto")
    return plain if plain.config_id == found.config_id else found


def row_flags(configuration: Configuration, allocations: Sequence[str] = ()) -> list[str]:
    """Flags of a sweep that ask for this configuration and no other.

    Args:
        configuration: what they ask for.
        allocations: values of ``--allocations`` that its run was given.

    Raises:
        ValueError: its allocation is none of these; one line.
    """
    bits, sparsity = (_number(getattr(configuration, n)) for n in _OF_POINTS)
    found = [f"--pipelines={configuration.pipeline}", f"--operating_points={bits}:{sparsity}"]
    for field, flag in axis_flags.FLAG_OF.items():
        if field in ("pipeline", *_OF_POINTS):
            continue
        value = getattr(configuration, field)
        if field == "allocation":
            text = _allocation(value, allocations)
        else:
            text = "none" if value is None else _number(value)
        if [field_value(field, of) for of in flag.default] != [field_value(field, text)]:
            found.append(f"--{flag.name}={text}")
    return found


def _number(value: Any) -> str:
    """The shortest text that is read as the same number; texts as they are."""
    return str(value) if isinstance(value, str | int) else repr(float(value)).removesuffix(".0")


def _allocation(bits: tuple, given: Sequence[str]) -> str:
    if not bits:
        return "uniform"
    for text in given:
        try:
            if dict(allocation(text)) == dict(bits):
                return text
        except (ValueError, OSError):
            continue
    raise ValueError("its bits by tensor are in none of the files of --allocations that are here")
