"""Generator of the reference of the command line, from the program itself."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout, suppress

from cyclopts import App

from ideogram_async.cli.app import make_app

PROGRAM = "ideogram-async"
PAGES = {"v2": "commands-v2", "estimate": "commands-estimate"}
"""Groups of commands with a page of their own: they are long."""
CONTENTS = re.compile(r"^## Table of Contents\n\n(?: *- .*\n)+\n", re.MULTILINE)
TOP = "commands"


def pages() -> dict[str, str]:
    """Return the pages by their path."""
    app = make_app()
    text = CONTENTS.sub("", app.generate_docs(max_heading_level=3))
    first, *sections = re.split(r"^(?=#{1,2} )", text, flags=re.MULTILINE)[1:]
    texts = {TOP: first.replace(f"# {PROGRAM}", "# Commands", 1), **dict.fromkeys(PAGES.values(), "")}
    for section in sections:
        command = section.split()[2]
        texts[PAGES.get(command, TOP)] += section + _own_options(app, command)

    return {f"reference/{page}.md": _for_site(text, page) for page, text in texts.items()}


def _own_options(app: App, command: str) -> str:
    """Return the help of a command that parses its own options."""
    if command.startswith("-") or app[command].help_flags:
        return ""

    with redirect_stdout(io.StringIO()) as output, suppress(SystemExit):
        app([command, "--help"])

    return f"```text\n{output.getvalue().rstrip()}\n```\n\n"


def _for_site(text: str, page: str) -> str:
    """Return a page with short headings, and links that lead to the page of a command."""
    text = re.sub(rf"^(#+) {PROGRAM} (.+)$", r"\1 `\2`", text, flags=re.MULTILINE)
    if page != TOP:
        text = text.replace("##", "#", 1).replace("\n###", "\n##")

    return re.sub(rf"\(#{PROGRAM}-([\w-]+)\)", lambda match: f"({_link(match[1], page)})", text)


def _link(command: str, page: str) -> str:
    own = PAGES.get(command.partition("-")[0], TOP)
    # The heading of an option keeps its hyphens.
    anchor = f"#--{command}" if command == "install-completion" else f"#{command}"
    return anchor if own == page else f"{own}.md{anchor}"
