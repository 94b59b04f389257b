"""Generator of the two pictures on the page on the architecture, `request.svg` and `job.svg`.

Each is a column of boxes with notes next to them, narrow enough for a phone. The colors are those of a light or a dark
page, on a background of their own.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from attrs import frozen

WIDTH = 360
BOX = 176
NOTE_X = 206
LINE = 15
GAP = 26
STYLE = """
  svg { --page: #ffffff; --box: #f1f5f9; --edge: #64748b; --text: #0f172a; --note: #475569; --line: #b91c1c }
  @media (prefers-color-scheme: dark) {
    svg { --page: #1e2129; --box: #2d323d; --edge: #94a3b8; --text: #f1f5f9; --note: #cbd5e1; --line: #fca5a5 }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--text) }
  .name { font-weight: 600; font-size: 13px }
  .note { fill: var(--note) }
  .border { fill: var(--line); font-weight: 600 }
  rect.page { fill: var(--page) }
  rect.box { fill: var(--box); stroke: var(--edge) }
  path { fill: none; stroke: var(--edge); stroke-width: 1.5 }
  path.border { stroke: var(--line); stroke-dasharray: 5 4 }
  marker path { fill: var(--edge); stroke: none }
"""
ARROW = (
    '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 L8 4 L0 8 z"/></marker>'
)


@frozen
class Box:
    """A step, with lines of text in its box, and notes next to it."""

    name: str
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    back_to: str = ""
    """The step that an arrow leads back to."""


@frozen
class Border:
    """A dashed line between two steps."""

    text: str


REQUEST: list[Box | Border] = [
    Box("client.generate(…)", ("makes a request",)),
    Box(
        "Generate(prompt=…)",
        ("a value: checked, then", "encoded to a call"),
        ("a rule is broken: NO,", "InvalidRequestError"),
    ),
    Box("retry", ("attempts and pauses",), ("cancelled here: NO",)),
    Box("limit", ("one slot for each image",), ("in the queue, a call", "holds no connection")),
    Box("connect", ("DNS, TLS",), ("fails: NO, retried,", "then NotSentError"), back_to="retry"),
    Box("send", ("adds the key, and marks", "the call as sent"), ("from here on nothing", "can be taken back")),
    Border("the first byte"),
    Box(
        "the service",
        ("5 to 30 seconds",),
        ("429: NO, retried", "other 4xx: NO", "5xx or no answer:", "UNKNOWN, not retried"),
    ),
    Box("reply", ("releases the slots,", "keeps the raw bytes"), ("unreadable: YES,", "DecodeError with links")),
    Box("answer", ("images with their links",), ("YES",)),
]
JOB: list[Box | Border] = [
    Box("pending", ("in the journal",), ("killed here: the next", "run sends it")),
    Box(
        "sending", ("synced to the journal,", "counted in a file"), ("killed here: ambiguous,", "listed with its price")
    ),
    Border("the first byte"),
    Box("accepted", ("v2 only: the id of the", "generation, synced"), ("killed here: the next", "run waits for it")),
    Box("answered", ("the raw answer, synced", "before it is decoded"), ("killed here: the next", "run downloads it")),
    Box(
        "images",
        ("each in a temporary file,", "verified, synced, named"),
        ("a failed download: the", "next run asks again"),
    ),
    Box("done", ("or partial: an image was", "withheld or lost"), ("the next run returns it", "from the journal")),
]
ASIDE = ("A refusal (4xx) ends in rejected: not billed.", "5xx, or no answer, ends in ambiguous: you decide.")


def draw(steps: list[Box | Border], title: str, aside: tuple[str, ...] = ()) -> str:
    """Return a picture as SVG."""
    body: list[str] = []
    places: dict[str, int] = {}
    y = 14
    end = 0
    for step in steps:
        if isinstance(step, Border):
            y -= GAP - 16
            body += [
                f'<path class="border" d="M8 {y} H{WIDTH - 8}"/>',
                f'<text class="border" x="{NOTE_X}" y="{y - 5}">{escape(step.text)}</text>',
            ]
            y += 16
            continue

        height = 24 + LINE * len(step.lines)
        places[step.name] = y
        if end:
            body.append(f'<path d="M{8 + BOX // 2} {end} V{y - 1}" marker-end="url(#head)"/>')

        body += box(step, y, height)
        if step.back_to:
            middle, target = y + height // 2, places[step.back_to] + 18
            body.append(f'<path d="M{8 + BOX} {middle} h12 V{target} h-11" marker-end="url(#head)"/>')

        end = y + height
        y = max(end, y + 8 + LINE * len(step.notes)) + GAP

    for number, line in enumerate(aside):
        body.append(f'<text class="note" x="8" y="{y - 4 + LINE * number}">{escape(line)}</text>')

    height = y - GAP + 14 + (LINE * len(aside) + 8 if aside else 0)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
            ' role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f"<defs>{ARROW}</defs>",
            f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
            *body,
            "</svg>\n",
        ]
    )


def box(step: Box, y: int, height: int) -> list[str]:
    """Return a box with its text, and its notes."""
    texts = [
        f'<text class="note" x="18" y="{y + 32 + LINE * number}">{escape(line)}</text>'
        for number, line in enumerate(step.lines)
    ]
    notes = [
        f'<text class="note" x="{NOTE_X}" y="{y + 14 + LINE * number}">{escape(line)}</text>'
        for number, line in enumerate(step.notes)
    ]
    return [
        f'<rect class="box" x="8" y="{y}" width="{BOX}" height="{height}" rx="5"/>',
        f'<text class="name" x="18" y="{y + 16}">{escape(step.name)}</text>',
        *texts,
        *notes,
    ]


def pictures() -> dict[str, str]:
    """Return the pictures by their file names."""
    return {
        "request.svg": draw(REQUEST, "The steps of a request, and what a failure in each of them costs"),
        "job.svg": draw(JOB, "The states of a job, and what the next run does after a crash in each of them", ASIDE),
    }


if __name__ == "__main__":
    for name, text in pictures().items():
        (Path(__file__).with_name("pictures") / name).write_text(text, encoding="utf-8")
