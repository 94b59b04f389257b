"""The end of a run, and the state of a folder: what is there, what it cost, what is left to decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.cells import set_cell_size
from rich.table import Table
from rich.text import Text

from ideogram_async.batch.job import JobResult, JobState
from ideogram_async.batch.report import Report
from ideogram_async.cli.displays import tell_result
from ideogram_async.cli.lines import ID_WIDTH, SIGNS, why
from ideogram_async.cli.say import console, labelled, money, safe, say_json, span

__all__ = ["say_report", "tell_report"]

MOST_FAILURES = 10
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
    for result in report.failures[:MOST_FAILURES]:
        _say_failure(result)

    if (more := len(report.failures) - MOST_FAILURES) > 0:
        target.print(Text(f"  and {more} more: ideogram-async batch export {folder} jobs.csv", "dim"))

    _say_doubts(report.ambiguous, folder)
    if report.failures or report.ambiguous:
        target.print()

    for line in _summary(report, folder, total, page, note, took=took):
        target.print(line, soft_wrap=True)


def tell_report(report: Report, folder: Path, page: Path | None, code: int) -> None:
    """Tell machines how things stand."""
    told: dict[str, Any] = {
        "event": "Report",
        "folder": folder.resolve(),
        "gallery": page,
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


def _say_failure(result: JobResult) -> None:
    sign, colour = SIGNS[result.state]
    _say_beside(sign, colour, result.id, Text(safe(why(result))))
    if result.error is not None:
        paid = "Nothing was paid" if not result.cost_usd else f"{money(result.cost_usd)} paid"
        _say_beside("", "", "", Text(f"{paid}. {result.error.advice}", "dim"))


def _say_doubts(doubts: Sequence[JobResult], folder: Path) -> None:
    for result in doubts[:MOST_FAILURES]:
        _say_beside(*SIGNS[JobState.AMBIGUOUS], result.id, Text(f"{money(result.cost_usd)} in doubt: it may have run"))

    if doubts:
        more = f"{len(doubts) - MOST_FAILURES} more. " if len(doubts) > MOST_FAILURES else ""
        choice = f"ideogram-async batch resolve {folder} {safe(doubts[0].id)} lost|retry|adopt"
        _say_beside("", "", "", Text(f"{more}Decide with: {choice}", "dim"))


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


def _summary(
    report: Report, folder: Path, total: int | None, page: Path | None, note: str, *, took: bool
) -> Iterator[Text]:
    images = [f"{report.images_stored:,} stored"]
    images += [f"{report.images_withheld:,} withheld"] if report.images_withheld else []
    images += [f"{report.images_lost:,} lost"] if report.images_lost else []
    spent = [money(report.spent_usd)]
    spent += [f"{money(report.in_doubt_usd)} in doubt"] if report.in_doubt_usd else []
    spent += [note] if note else []
    is_well = not (report.failures or report.ambiguous or report.stopped)
    yield labelled("jobs", _jobs(report, total), "bold green" if is_well else "bold yellow")
    yield labelled("images", ", ".join(images))
    yield labelled("spent", " · ".join(spent))
    if took:
        throttled = f", {report.throttled} refused with 429 and sent again" if report.throttled else ""
        yield labelled("time", f"{_time(report.elapsed)}{throttled}")

    yield labelled("folder", safe(folder.resolve()))
    if page is not None:
        yield labelled("gallery", safe(page.resolve()), "bold")

    if report.stopped:
        yield labelled("stopped", f"{safe(report.stopped)}; run it again to go on", "bold yellow")


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
