"""The end of a run, and the state of a folder: what is there, what it cost, what is left to decide."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from decimal import Decimal
from errno import ENOSPC
from pathlib import Path
from typing import Any

from rich.cells import set_cell_size
from rich.table import Table
from rich.text import Text

from ideogram_async._batch.job import JobResult, JobState
from ideogram_async._batch.report import Report
from ideogram_async.cli.console import console, count, labelled, money, safe, say_json, span
from ideogram_async.cli.errors import advice_of
from ideogram_async.cli.render import ID_WIDTH, SIGNS, tell_result, why
from ideogram_async.errors import DecodeError

MOST = 10

"""Jobs that are told one by one."""


def say_failures(report: Report, folder: Path) -> None:
    """Tell of jobs that failed; of those that were not sent for one and the same reason, the first stands for all."""
    told: dict[str, list[JobResult]] = {}
    for result in report.failures:
        told.setdefault(why(result) if result.state is JobState.PENDING else result.key, []).append(result)

    for alike in list(told.values())[:MOST]:
        _say_failure(alike[0], len(alike) - 1)

    if (more := len(told) - MOST) > 0:
        command = f"ideogram-async batch export {_word(folder)} jobs.csv"
        console().print(Text(f"  and {more:,} more; all of them: {command}", "dim"), soft_wrap=True)


def say_doubts(doubts: Sequence[JobResult], folder: Path) -> None:
    """Tell of jobs that may have run, and how to decide."""
    for result in doubts[:MOST]:
        _say_beside(*SIGNS[JobState.AMBIGUOUS], result.id, Text(f"{money(result.cost_usd)} in doubt: it may have run"))

    if doubts:
        more = f"{len(doubts) - MOST:,} more. " if len(doubts) > MOST else ""
        choice = f"ideogram-async batch resolve {_word(folder)} {_word(doubts[0].id)} lost|retry|adopt"
        _say_beside("", "", "", Text(f"{more}Decide each with: {choice}", "dim"))
        again = "or send all of them once more, which may pay twice: run it again with --retry-ambiguous"
        _say_beside("", "", "", Text(again, "dim"))


def _say_failure(result: JobResult, others: int) -> None:
    sign, colour = SIGNS[result.state]
    alike = f", and {count(others, 'other job')} alike" if others else ""
    _say_beside(sign, colour, result.id, Text(f"{safe(why(result))}{alike}"))
    if result.error is not None:
        _say_beside("", "", "", Text(f"{_paid(result)} {safe(advice_of(result.error))}".rstrip(), "dim"))

    for link in result.error.links if isinstance(result.error, DecodeError) else ():
        console().print(Text(f"    {safe(link)}", "dim"), soft_wrap=True)


def _paid(result: JobResult) -> str:
    if result.cost_usd == Decimal(0):
        return "Nothing was paid."

    if result.state in (JobState.PENDING, JobState.REJECTED):
        return f"{money(result.cost_usd)} in doubt: an earlier attempt may have run."

    return f"{money(result.cost_usd)} paid."


def _word(text: object) -> str:
    """Write a word as a shell takes it."""
    return shlex.quote(safe(text))


def _say_beside(sign: str, colour: str, id: str, words: Text) -> None:
    """Put words beside a job's id; a terminal wraps them there, a pipe gets them whole."""
    target = console()
    name = set_cell_size(safe(id), ID_WIDTH)
    if not target.is_terminal:
        target.print(Text.assemble((f"{sign:<1} ", colour), (name, "bold"), " ", words))
        return

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=1)
    grid.add_column(width=ID_WIDTH, no_wrap=True)
    grid.add_column(ratio=1)
    grid.add_row(Text(sign, colour), Text(name, "bold"), words)
    target.print(grid)


SHORT = 10.0

ORDER = (
    JobState.DONE,
    JobState.PARTIAL,
    JobState.ANSWERED,
    JobState.REJECTED,
    JobState.AMBIGUOUS,
    JobState.SENDING,
    JobState.PENDING,
)


def say_report(
    report: Report,
    folder: Path,
    *,
    total: int | None = None,
    page: Path | None = None,
    note: str = "",
    took: bool = True,
) -> None:
    """Tell people how things stand.

    Args:
        report: What to tell.
        folder: Where it all is.
        total: Jobs of the input, where it is known.
        page: The gallery, if there is one.
        note: A word behind the money.
        took: Whether the report is of a run, which took some time.
    """
    target = console()
    target.print()
    say_failures(report, folder)
    say_doubts(report.ambiguous, folder)
    if report.failures or report.ambiguous:
        target.print()

    for line in _summary(report, total, note, took=took):
        target.print(line, soft_wrap=True)

    for line in _places(report, folder, page):
        target.print(line, soft_wrap=True)


def tell_report(report: Report, folder: Path, page: Path | None, code: int) -> None:
    """Tell machines how things stand."""
    told: dict[str, Any] = {
        "event": "Report",
        "folder": folder.resolve(),
        "gallery": None if page is None else page.resolve(),
        "jobs": report.jobs,
        "by_state": report.by_state,
        "images_stored": report.images_stored,
        "images_withheld": report.images_withheld,
        "images_lost": report.images_lost,
        "spent_usd": report.spent_usd,
        "in_doubt_usd": report.in_doubt_usd,
        "throttled": report.throttled,
        "elapsed": round(report.elapsed, 3),
        "stopped": report.stopped,
        "failures": [tell_result(result) for result in report.failures],
        "ambiguous": [tell_result(result) for result in report.ambiguous],
        "exit": code,
    }
    say_json(told)


def _summary(report: Report, total: int | None, note: str, *, took: bool) -> Iterator[Text]:
    is_well = not (report.failures or report.ambiguous or report.stopped)
    yield labelled("jobs", _jobs(report, total), "bold green" if is_well else "bold yellow")
    yield labelled("images", _images(report))
    yield labelled("spent", " · ".join(filter(None, (money(report.spent_usd), _in_doubt(report), note))))
    if took:
        throttled = f", {report.throttled} refused with 429 and sent again" if report.throttled else ""
        yield labelled("time", f"{_time(report.elapsed)}{throttled}")


def _places(report: Report, folder: Path, page: Path | None) -> Iterator[Text]:
    yield labelled("folder", safe(folder.resolve()))
    if page is not None:
        yield labelled("gallery", safe(page.resolve()), "bold")

    if report.stopped:
        is_full = report.stopped.startswith(os.strerror(ENOSPC))
        go_on = "make room, and run it again to go on" if is_full else "run it again to go on"
        yield labelled("stopped", f"{safe(report.stopped)}; {go_on}", "bold yellow")


def _images(report: Report) -> str:
    told = [f"{report.images_stored:,} stored"]
    told += [f"{report.images_withheld:,} withheld"] if report.images_withheld else []
    told += [f"{report.images_lost:,} lost"] if report.images_lost else []
    return ", ".join(told)


def _in_doubt(report: Report) -> str:
    """Say what may have been paid, and by what, where the lines above do not."""
    if not report.in_doubt_usd:
        return ""

    told = f"{money(report.in_doubt_usd)} in doubt"
    if report.ambiguous:
        return told

    is_sending = bool(report.by_state.get(JobState.SENDING))
    return f"{told}, {'by what is on its way' if is_sending else 'by earlier attempts of jobs that were sent again'}"


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < SHORT else span(seconds)


def _jobs(report: Report, total: int | None) -> str:
    if not report.jobs:
        return "none" if total is None else f"none of {total:,}"

    is_part = total is not None and total > report.jobs
    known = f"{report.jobs:,} of {total:,}" if is_part else f"{report.jobs:,}"
    if report.by_state.get(JobState.DONE) == report.jobs:
        return f"{known} done" if is_part else f"{known}, all done"

    return f"{known}: " + ", ".join(
        f"{report.by_state[state]:,} {state}" for state in ORDER if report.by_state.get(state)
    )
