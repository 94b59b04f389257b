"""The skill for coding agents, and the command that prints it.

Its folder has the name in which tools look for the skills of installed packages.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

SKILL = Path(__file__).parent / ".agents" / "skills" / "ideogram-async" / "SKILL.md"


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m ideogram_async skill") -> int:
    """Print the skill, and return the exit code.

    Args:
        argv: The arguments without the program's name; `None` uses those of the process.
        prog: The program's name in the help.
    """
    argparse.ArgumentParser(
        prog=prog,
        description="Print the skill for coding agents: how to write code with this package that never pays twice.",
        epilog=f"example: {prog} > .claude/skills/ideogram-async/SKILL.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args(argv)
    sys.stdout.write(SKILL.read_text(encoding="utf-8"))
    return 0
