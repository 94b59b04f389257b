"""Report of a run or of a folder: its jobs, its cost, and jobs to resolve."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from errno import ENOSPC
from pathlib import Path

import attrs
from rich.cells import set_cell_size
from rich.table import Table
from rich.text import Text

from ideogram_async import JobResult, JobState, Report
from ideogram_async.cli.console import (
    console,
    escape,
    format_duration,
    format_usd,
    label_line,
    pluralize,
    print_json,
    to_json_fields,
)
from ideogram_async.cli.errors import advice_for
from ideogram_async.cli.render import ID_WIDTH, SIGNS, reason, to_json_result
from ideogram_async.errors import DecodeError

MAX_LISTED = 10
"""Maximum number of jobs listed one by one."""

SHORT = 10.0
"""Seconds below which a duration is shown in tenths."""

ORDER = (
    JobState.DONE,
    JobState.PARTIAL,
    JobState.ANSWERED,
    JobState.REJECTED,
    JobState.AMBIGUOUS,
    JobState.SENDING,
    JobState.PENDING,
)


def print_report(
    report: Report,
    folder: Path,
    code: int,
    *,
    as_json: bool,
    total: int | None = None,
    page: Path | None = None,
    note: str = "",
    is_run: bool = True,
) -> None:
    """Print a report.

    Args:
        report: The report.
        folder: The batch folder.
        code: The exit code.
        as_json: Whether to write JSON.
        total: The number of jobs in the input, if known.
        page: The gallery, if there is one.
        note: A remark after the cost.
        is_run: Whether the report is that of a run, which has a duration.
    """
    if as_json:
        print_json(_to_json(report, folder, page, code))
        return

    target = console()
    target.print()
    _print_failures(report, folder)
    _print_ambiguous(report.ambiguous, folder)
    if report.failures or report.ambiguous:
        target.print()

    for line in (*_summary(report, total, note, is_run=is_run), *_paths(report, folder, page)):
        target.print(line, soft_wrap=True)


def _to_json(report: Report, folder: Path, page: Path | None, code: int) -> dict[str, object]:
    return {
        "event": "Report",
        "folder": folder.resolve(),
        "gallery": None if page is None else page.resolve(),
        **to_json_fields(attrs.evolve(report, elapsed=round(report.elapsed, 3), failures=(), ambiguous=())),
        "failures": [to_json_result(result) for result in report.failures],
        "ambiguous": [to_json_result(result) for result in report.ambiguous],
        "exit": code,
    }


def _print_failures(report: Report, folder: Path) -> None:
    """Print the failed jobs. Jobs that were not sent for the same reason are printed once."""
    groups: dict[str, list[JobResult]] = {}
    for result in report.failures:
        group = reason(result) if result.state is JobState.PENDING else result.key
        groups.setdefault(group, []).append(result)

    for first, *others in list(groups.values())[:MAX_LISTED]:
        _print_failure(first, len(others))

    if (more := len(groups) - MAX_LISTED) > 0:
        command = f"ideogram-async batch export {_quote(folder)} jobs.csv"
        console().print(Text(f"  and {more:,} more; to list them all: {command}", "dim"), soft_wrap=True)


def _print_failure(result: JobResult, others: int) -> None:
    sign, color = SIGNS[result.state]
    suffix = f", and {pluralize(others, 'other job')} likewise" if others else ""
    _print_row(sign, color, result.id, Text(f"{escape(reason(result))}{suffix}"))
    if result.error is not None:
        _print_row("", "", "", Text(f"{_billed(result)} {escape(advice_for(result.error))}".rstrip(), "dim"))

    for link in result.error.links if isinstance(result.error, DecodeError) else ():
        console().print(Text(f"    {escape(link)}", "dim"), soft_wrap=True)


def _print_ambiguous(results: Sequence[JobResult], folder: Path) -> None:
    for result in results[:MAX_LISTED]:
        text = Text(f"outcome unknown; {format_usd(result.cost_usd)} may have been billed")
        _print_row(*SIGNS[JobState.AMBIGUOUS], result.id, text)

    if results:
        more = f"{len(results) - MAX_LISTED:,} more. " if len(results) > MAX_LISTED else ""
        command = f"ideogram-async batch resolve {_quote(folder)} {_quote(results[0].id)} lost|retry|adopt"
        _print_row("", "", "", Text(f"{more}Resolve each with: {command}", "dim"))
        resend = "or send all of them once more, which may be billed twice: run again with --retry-ambiguous"
        _print_row("", "", "", Text(resend, "dim"))


def _billed(result: JobResult) -> str:
    if result.cost_usd == 0:
        return "Nothing was billed."

    if result.state in (JobState.PENDING, JobState.REJECTED):
        return f"{format_usd(result.cost_usd)} in doubt: an earlier attempt may have run."

    return f"{format_usd(result.cost_usd)} billed."


def _quote(text: object) -> str:
    return shlex.quote(escape(text))


def _print_row(sign: str, color: str, id: str, text: Text) -> None:
    """Print text next to a job's id. It wraps in a terminal, not in a pipe."""
    target = console()
    name = set_cell_size(escape(id), ID_WIDTH)
    if not target.is_terminal:
        target.print(Text.assemble((f"{sign:<1} ", color), (name, "bold"), " ", text))
        return

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(width=ID_WIDTH, no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row(Text(sign, color), Text(name, "bold"), text)
    target.print(grid)


def _summary(report: Report, total: int | None, note: str, *, is_run: bool) -> Iterator[Text]:
    is_ok = not (report.failures or report.ambiguous or report.stopped)
    yield label_line("jobs", _jobs(report, total), "bold green" if is_ok else "bold yellow")
    yield label_line("images", _images(report))
    yield label_line("spent", " · ".join(filter(None, (format_usd(report.spent_usd), _in_doubt(report), note))))
    if is_run:
        throttled = f", {report.throttled} rejected with 429 and retried" if report.throttled else ""
        elapsed = f"{report.elapsed:.1f} s" if report.elapsed < SHORT else format_duration(report.elapsed)
        yield label_line("time", f"{elapsed}{throttled}")


def _jobs(report: Report, total: int | None) -> str:
    if not report.jobs:
        return "none" if total is None else f"none of {total:,}"

    is_part = total is not None and total > report.jobs
    jobs = f"{report.jobs:,} of {total:,}" if is_part else f"{report.jobs:,}"
    if report.by_state.get(JobState.DONE) == report.jobs:
        return f"{jobs} done" if is_part else f"{jobs}, all done"

    return f"{jobs}: " + ", ".join(
        f"{report.by_state[state]:,} {state}" for state in ORDER if report.by_state.get(state)
    )


def _images(report: Report) -> str:
    counts = {"stored": report.images_stored, "withheld": report.images_withheld, "lost": report.images_lost}
    return ", ".join(f"{count:,} {state}" for state, count in counts.items() if count or state == "stored")


def _in_doubt(report: Report) -> str:
    """Return the amount that may have been billed, and its cause if the jobs are not listed above."""
    if not report.in_doubt_usd:
        return ""

    amount = f"{format_usd(report.in_doubt_usd)} in doubt"
    if report.ambiguous:
        return amount

    is_sending = bool(report.by_state.get(JobState.SENDING))
    return f"{amount}, {'by calls in flight' if is_sending else 'by earlier attempts of jobs that were sent again'}"


def _paths(report: Report, folder: Path, page: Path | None) -> Iterator[Text]:
    yield label_line("folder", escape(folder.resolve()))
    if page is not None:
        yield label_line("gallery", escape(page.resolve()), "bold")

    if report.stopped:
        yield label_line("stopped", f"{escape(report.stopped)}; {_how_to_resume(report.stopped)}", "bold yellow")


def _how_to_resume(stopped: str) -> str:
    if stopped.startswith(os.strerror(ENOSPC)):
        return "free some space and run the same command to resume"

    return "raise --max-cost-usd to resume" if stopped.startswith("budget of ") else "run the same command to resume"
