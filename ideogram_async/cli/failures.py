"""Jobs that are not done, each with the reason, the money, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from rich.cells import set_cell_size
from rich.table import Table
from rich.text import Text

from ideogram_async.batch.job import JobResult, JobState
from ideogram_async.batch.report import Report
from ideogram_async.cli.advice import advice_of
from ideogram_async.cli.lines import ID_WIDTH, SIGNS, why
from ideogram_async.cli.say import console, count, money, safe
from ideogram_async.errors import DecodeError

__all__ = ["say_doubts", "say_failures"]

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
