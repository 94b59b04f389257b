"""How a run ended: the report, the page, and the exit code."""

from __future__ import annotations

from pathlib import Path

import attrs
from attrs import frozen

from ideogram_async.batch.folder import Folder
from ideogram_async.batch.report import Report
from ideogram_async.cli.exits import Exit, of_error, of_report, worst
from ideogram_async.cli.jobs import InvalidJobsError
from ideogram_async.cli.pages import make_gallery
from ideogram_async.cli.plan import say_problems
from ideogram_async.cli.running import Outcome
from ideogram_async.cli.summary import say_report, tell_report
from ideogram_async.cli.trouble import say_error, say_trouble
from ideogram_async.errors import BatchError, Billed, IdeogramError

__all__ = ["Ending"]


@frozen
class Ending:
    """Tells how a run into a folder ended."""

    folder: Path
    sandbox: bool = attrs.field(kw_only=True)
    as_json: bool = attrs.field(kw_only=True)

    def tell(self, outcome: Outcome, *, with_page: bool) -> Exit:
        """Tell how it ended, and return the exit code."""
        is_given_up = outcome.interrupts > 1
        report = _of_folder(self.folder, outcome.report) if is_given_up else outcome.report
        codes = [of_report(report)] + [Exit.INTERRUPTED] * is_given_up
        if outcome.error is not None:
            report = attrs.evolve(report, stopped="by what is told above")
            codes.append(_say_end_of_input(outcome.error, as_json=self.as_json))

        page = self._page() if with_page and report.images_stored and not is_given_up else None
        code = worst(codes)
        if self.as_json:
            tell_report(report, self.folder, page, code)
        else:
            note = "in the sandbox only" if self.sandbox else ""
            say_report(report, self.folder, total=outcome.total, page=page, note=note)

        return code

    def _page(self) -> Path | None:
        """Make the page if that can be done: what was paid for is told whatever comes of it."""
        try:
            return make_gallery(self.folder, as_json=self.as_json)
        except (OSError, BatchError, KeyboardInterrupt) as error:
            why = "interrupted" if isinstance(error, KeyboardInterrupt) else getattr(error, "strerror", None) or error
            advice = f"The images are there; try again: ideogram-async batch gallery {self.folder}"
            say_trouble(f"The gallery was not made: {why}", advice, as_json=self.as_json, name="Gallery", billed=None)
            return None


def _of_folder(folder: Path, report: Report) -> Report:
    """Ask the journal: results of what was given up were told to nobody."""
    try:
        found = Folder(folder).report()
    except BatchError:
        return report

    return attrs.evolve(found, stopped="interrupted twice", elapsed=report.elapsed, throttled=report.throttled)


def _say_end_of_input(error: Exception, *, as_json: bool) -> Exit:
    """Say what kept a batch from going on, though what was on its way was finished."""
    match error:
        case InvalidJobsError():
            say_problems(error.name, error.problems, as_json=as_json, so_far="what came before it is kept")
            return Exit.USAGE
        case IdeogramError():
            say_error(error, as_json=as_json)
            return of_error(error)
        case OSError():
            words = f"{error.filename or 'The input'} cannot be read: {error.strerror or error}"
            say_trouble(words, "What came before it is kept; run it again to go on.", as_json=as_json)
            return Exit.USAGE
        case _:
            words, advice = f"{type(error).__name__}: {error}", "This is a fault of the program itself."
            say_trouble(words, advice, as_json=as_json, name=type(error).__name__, billed=Billed.UNKNOWN)
            return Exit.FAILED
