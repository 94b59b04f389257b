"""Report of a run or of a folder: its jobs, its cost, and jobs to resolve."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from errno import ENOSPC
from pathlib import Path

import attrs
from rich.cells import set_cell_size
from rich.table import Table
from rich.text import Text

from ideogram_async import ImageState, JobResult, JobState, Report
from ideogram_async._batch.job import UNRECORDED
from ideogram_async._batch.report import count_jobs, input_of
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async.cli.batch.results import ID_WIDTH, LINKED, SIGNS, reason, to_json_result
from ideogram_async.cli.console import (
    console,
    escape,
    format_duration,
    label_line,
    print_json,
    print_label_line,
    to_json_fields,
)
from ideogram_async.cli.errors import advice_for
from ideogram_async.errors import AmbiguousError, DecodeError, HostRefusedError, ImageTooLargeError

MAX_LISTED = 10
"""Maximum number of jobs listed one by one."""

SHORT = 10.0
"""Seconds below which a duration is shown in tenths."""

PROBLEM_ADVICE: dict[str | None, str] = {
    "too_large": advice_for(ImageTooLargeError("")),
    "refused": advice_for(HostRefusedError("")),
    "name_taken": "Move the other file away.",
}

ORDER = (
    JobState.DONE,
    JobState.PARTIAL,
    JobState.ANSWERED,
    JobState.ACCEPTED,
    JobState.REJECTED,
    JobState.AMBIGUOUS,
    JobState.SENDING,
    JobState.PENDING,
)

OPEN = (JobState.PENDING, JobState.SENDING, JobState.ACCEPTED)


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
    is_running: bool = False,
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
        is_running: Whether a batch is running in the folder.
    """
    if as_json:
        print_json(_to_json(report, folder, page, code) | ({} if is_run else {"running": is_running}))
        return

    target = console()
    target.print()
    _print_failures(report, folder)
    _print_how_to_retry(report)
    _print_how_to_resume(report)
    _print_how_to_collect(report, folder)
    _print_ambiguous(report.ambiguous, folder)
    if report.failures or report.ambiguous:
        target.print()

    for line in _summary(report, total, note, is_run=is_run):
        print_label_line(target, line)

    for line in _paths(folder, page):
        target.print(line, soft_wrap=True)

    if report.stopped:
        print_label_line(target, label_line("stopped", escape(_how_to_resume(report.stopped)), "bold yellow"))

    for text in () if is_run else _next_steps(report, is_running=is_running):
        print_label_line(target, label_line("next", text))


def _to_json(report: Report, folder: Path, page: Path | None, code: int) -> dict[str, object]:
    return {
        "event": "Report",
        "folder": folder.resolve(),
        "gallery": None if page is None else page.resolve(),
        **to_json_fields(attrs.evolve(report, elapsed=round(report.elapsed, 3), failures=(), ambiguous=())),
        "input": input_of(report),
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
        is_decided = result.state is JobState.ACCEPTED or _is_given_up(result)
        advice = "" if is_decided else advice_for(result.error)
        _print_row("", "", "", Text(f"{_billed(result)} {escape(advice)}".rstrip(), "dim"))

    for problem in dict.fromkeys(image.problem for image in result.images if image.state is ImageState.LINKED):
        if problem in PROBLEM_ADVICE:
            _print_row("", "", "", Text(PROBLEM_ADVICE[problem], "dim"))

    for link in _links(result):
        console().print(Text(f"    {escape(link)}", "dim"), soft_wrap=True)


def _links(result: JobResult) -> tuple[str, ...]:
    """Return the links to print for a job. A terminal shows those of an unrecorded reply already, as a warning."""
    is_shown = _is_unrecorded(result) and sys.stdout.isatty() and sys.stderr.isatty()
    return result.error.links if isinstance(result.error, DecodeError) and not is_shown else ()


def _is_unrecorded(result: JobResult) -> bool:
    return str(result.error).startswith(UNRECORDED)


def _print_how_to_retry(report: Report) -> None:
    if report.by_state.get(JobState.REJECTED):
        text = "Correct rejected jobs and run them again. To send them unchanged, add --retry-rejected"
        _print_row("", "", "", Text(text, "dim"))


def _print_how_to_resume(report: Report) -> None:
    if report.by_state.get(JobState.ACCEPTED):
        text = "Run the same command for the images of accepted jobs. It sends none of them again"
        _print_row("", "", "", Text(text, "dim"))


def _print_how_to_collect(report: Report, folder: Path) -> None:
    answered = [result for result in report.failures if result.state is JobState.ANSWERED]
    unfinished = [result for result in answered if not _is_unrecorded(result)]
    if unrecorded := [result for result in answered if _is_unrecorded(result)]:
        command = f"{_resolve_command(folder, unrecorded[0].id)} adopt --url LINK"
        _print_row("", "", "", Text(f"Once the folder can be written, keep each image with: {command}", "dim"))

    if unfinished or (report.images_linked and not answered):
        command = f"ideogram-async batch collect {_dashes(folder)}{_quote(folder)}"
        _print_row("", "", "", Text(f"Download what is missing with: {command}", "dim"))

    if unfinished:
        _print_row("", "", "", Text(f"or give a job up: {_resolve_command(folder, unfinished[0].id)} lost", "dim"))


def _print_ambiguous(results: Sequence[JobResult], folder: Path) -> None:
    for result in results[:MAX_LISTED]:
        text = Text(f"outcome unknown; {format_usd(result.cost_usd)} may have been billed")
        _print_row(*SIGNS[JobState.AMBIGUOUS], result.id, text)

    if results:
        more = f"{len(results) - MAX_LISTED:,} more. " if len(results) > MAX_LISTED else ""
        command = f"{_resolve_command(folder, results[0].id)} lost|retry|adopt"
        _print_row("", "", "", Text(f"{more}Resolve each with: {command}", "dim"))
        resend = "or send all of them once more, which may be billed twice: run again with --retry-ambiguous"
        _print_row("", "", "", Text(resend, "dim"))


def _resolve_command(folder: Path, id: str) -> str:
    return f"ideogram-async batch resolve {_dashes(folder, id)}{_quote(folder)} {_quote(id)}"


def _dashes(*arguments: object) -> str:
    return "-- " if any(str(argument).startswith("-") for argument in arguments) else ""


def _billed(result: JobResult) -> str:
    if result.cost_usd == 0:
        return "Nothing was billed."

    if result.state is JobState.ACCEPTED:
        return f"{format_usd(result.cost_usd)} if it succeeds."

    if _is_given_up(result):
        return f"{format_usd(result.cost_usd)} may have been billed, and counts as spent."

    if result.state in (JobState.PENDING, JobState.REJECTED):
        return f"{format_usd(result.cost_usd)} in doubt: an earlier attempt may have run."

    return f"{format_usd(result.cost_usd)} billed."


def _is_given_up(result: JobResult) -> bool:
    return result.state is JobState.PARTIAL and isinstance(result.error, AmbiguousError)


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
    is_ok = _is_all_done(report, total) and not report.stopped
    yield label_line("jobs", _jobs(report, total), "bold green" if is_ok else "bold yellow")
    yield label_line("images", _images(report))
    yield label_line("spent", " · ".join(filter(None, (format_usd(report.spent_usd), _in_doubt(report), note))))
    if is_run:
        throttled = f", {report.throttled} rejected with 429 and retried" if report.throttled else ""
        elapsed = f"{report.elapsed:.1f} s" if report.elapsed < SHORT else format_duration(report.elapsed)
        yield label_line("time", f"{elapsed}{throttled}")


def _jobs(report: Report, total: int | None) -> str:
    jobs = count_jobs(report, total)
    if not report.jobs:
        return f"none{jobs.removeprefix('0')}"

    if report.by_state.get(JobState.DONE) == report.jobs:
        return f"{jobs}, all done" if _is_all_done(report, total) else f"{jobs} done"

    return f"{jobs}: " + ", ".join(
        f"{report.by_state[state]:,} {state}" for state in ORDER if report.by_state.get(state)
    )


def _next_steps(report: Report, *, is_running: bool) -> Iterator[str]:
    """Yield what remains to be done in a folder, apart from what is listed with its jobs."""
    if is_running:
        yield "a batch is running in the folder"
        return

    size, pending = input_of(report), report.by_state.get(JobState.PENDING, 0)
    missing = max((size.jobs or 0) - report.jobs, 0) if size else 0
    if _is_part(report):
        rest = f" for the other {pluralize(missing + pending, 'job')}" if missing else ""
        yield f"the input was not read to its end; run the same command{rest or ' to resume'}"
    elif pending:
        yield f"{pluralize(pending, 'pending job')}; run the same command to send {'it' if pending == 1 else 'them'}"

    if missing and not _is_part(report):
        yield f"{pluralize(missing, 'job')} of the input not recorded because of errors; correct them and run it again"


def _is_all_done(report: Report, total: int | None) -> bool:
    """Return whether all jobs of the input are done, as far as their number is known."""
    is_part = " of " in count_jobs(report, total) or _is_part(report)
    return report.by_state.get(JobState.DONE, 0) == report.jobs and not is_part


def is_unfinished(report: Report) -> bool:
    """Return whether jobs are pending or in progress, or the input of the last run was not read to its end."""
    return _is_part(report) or any(report.by_state.get(state) for state in OPEN)


def _is_part(report: Report) -> bool:
    """Return whether the input of the last run was not read to its end."""
    size = input_of(report)
    return size is not None and not size.is_complete


def _images(report: Report) -> str:
    counts = {
        "stored": report.images_stored,
        LINKED: report.images_linked,
        "withheld": report.images_withheld,
        "lost": report.images_lost,
    }
    return ", ".join(f"{count:,} {state}" for state, count in counts.items() if count or state == "stored")


def _in_doubt(report: Report) -> str:
    """Return the amount that may have been billed, and its cause if the jobs are not listed above."""
    if not report.in_doubt_usd:
        return ""

    amount = f"{format_usd(report.in_doubt_usd)} in doubt"
    if report.ambiguous:
        return amount

    is_sending = bool(report.by_state.get(JobState.SENDING))
    if report.by_state.get(JobState.ACCEPTED):
        return f"{amount}, by {'calls in flight' if is_sending else 'accepted jobs'}"

    return f"{amount}, {'by calls in flight' if is_sending else 'by earlier attempts of jobs that were sent again'}"


def _paths(folder: Path, page: Path | None) -> Iterator[Text]:
    yield label_line("folder", escape(folder.resolve()))
    if page is not None:
        yield label_line("gallery", escape(page.resolve()), "bold")


def _how_to_resume(stopped: str) -> str:
    if stopped.startswith("budget of "):
        return stopped

    space = "free some space and " if stopped.startswith(os.strerror(ENOSPC)) else ""
    return f"{stopped}; {space}run the same command to resume"
