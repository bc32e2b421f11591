"""The findings as HTML, readable where no program runs."""

from collections.abc import Sequence
from html import escape

from wfm_jax.results import naming
from wfm_jax.results.naming import DASH, number
from wfm_jax.results.report.commands import Commands
from wfm_jax.results.report.content import Choice, Finding


def verdict(found: Sequence[Finding]) -> str:
    """What each run found: the lead, the other sentences, and what to take."""
    return "\n".join(_finding(finding, len(found) > 1) for finding in found)


def _finding(finding: Finding, several: bool) -> str:
    lead, *others = finding.sentences
    heading = f"<h3>{escape(finding.run.name)}</h3>" if several else ""
    rest = "".join(f"<li>{_sentence(sentence)}</li>" for sentence in others)
    return (
        f'<article class="finding">{heading}<p class="lead">{escape(lead)}</p>'
        f'<div class="beside">{_choices(finding.choices)}<ul class="sentences">{rest}</ul></div>'
        "</article>"
    )


def _sentence(text: str) -> str:
    """A sentence; one that lists, ``Order: a; b; c.``, as a list."""
    start, colon, rest = text.partition(": ")
    if not colon or "; " not in rest:
        return escape(text)
    items = "".join(f"<li>{escape(part)}</li>" for part in rest.rstrip(".").split("; "))
    return f"{escape(start)}:<ul>{items}</ul>"


def _choices(choices: Sequence[Choice]) -> str:
    lines = "".join(f"<tr>{_choice(choice)}</tr>" for choice in choices)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="What to take"><table>'
        "<caption>The smallest file that keeps so much of the teacher on every task, interval "
        'included</caption><thead><tr><th scope="col">keeps</th><th scope="col">configuration</th>'
        '<th scope="col" class="n">kB</th><th scope="col" class="n">smaller</th>'
        f'<th scope="col" class="n">retention</th></tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _choice(choice: Choice) -> str:
    kept = f'<th scope="row">{100 * (1 - choice.loss):.0f} %</th>'
    if choice.row is None:
        return f'{kept}<td colspan="4" class="quiet">{escape(choice.best)}</td>'
    row = choice.row
    ratio = number(row, "compression_ratio")
    texts = [
        f"{number(row, 'size_bytes') / 1000:.1f}",
        f"{ratio:.1f}×" if ratio == ratio else DASH,  # noqa: RUF001
        f"{100 * number(row, 'retention'):.1f} ± {100 * number(row, 'retention_ci95'):.1f} %",
    ]
    cells = "".join(f'<td class="n">{text}</td>' for text in texts)
    name = escape(naming.point_name(row))
    return (
        f'{kept}<td><button type="button" class="link" data-row="{choice.index}">{name}</button>'
        f"</td>{cells}"
    )


def notes(found: Sequence[Finding], more: Sequence[str]) -> str:
    """What could not be read or does not compare; empty where there is nothing to say."""
    several = len(found) > 1
    lines = [
        f"{finding.run.name}: {note}." if several else f"{note[:1].upper()}{note[1:]}."
        for finding in found
        for note in finding.run.notes
    ]
    items = "".join(f"<li>{escape(line)}</li>" for line in [*lines, *more])
    if not items:
        return ""
    return (
        '<aside class="notes" aria-labelledby="notes-title"><h2 id="notes-title">'
        f"What to know about these files</h2><ul>{items}</ul></aside>"
    )


def runs(found: Sequence[Finding], commands: Sequence[Commands | None]) -> str:
    """Which folders are shown, of what, and the command of each."""
    parts = []
    for finding, known in zip(found, commands, strict=True):
        run = finding.run
        manifest = run.manifest
        facts = [("folder", str(run.folder)), ("configurations finished", str(finding.n_finished))]
        if finding.n_other:
            facts.append(("diverged or dropped", str(finding.n_other)))
        for words, column in (("teacher", "teacher_hash"), ("test frames", "test_frames_hash")):
            hashes = sorted({row[column] for row in run.rows} - {None})
            facts += [(words, ", ".join(hashes))] if hashes else []
        if manifest:
            versions = " ".join(f"{n} {v}" for n, v in manifest.versions.items())
            facts += [("devices", ", ".join(map(str, manifest.devices))), ("versions", versions)]
        listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
        whole = _command(known.whole) if known and known.whole else ""
        parts.append(f"<h3>{escape(run.name)}</h3><dl class='facts'>{listed}</dl>{whole}")
    return "\n".join(parts)


def _command(text: str) -> str:
    words = " ".join(f"<span>{escape(word)}</span>" for word in text.split(" "))
    return (
        "<p>The whole run:</p><div class='command'><pre tabindex='0'><code>"
        f"{words}</code></pre><button type='button' class='copy'>Copy</button></div>"
    )
