"""Client of pyright's language server, from which editors get hover texts, completions and signatures."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ideogram_async

MARKDOWN = ["markdown"]
CAPABILITIES = {
    "workspace": {"configuration": True},
    "textDocument": {
        "hover": {"contentFormat": MARKDOWN},
        "completion": {"completionItem": {"documentationFormat": MARKDOWN}},
        "signatureHelp": {"signatureInformation": {"documentationFormat": MARKDOWN}},
    },
}
SETTINGS = {
    "python": {"pythonPath": sys.executable},
    "python.analysis": {"extraPaths": [str(Path(ideogram_async.__file__).parents[1])]},
}


class LanguageServer:
    """A running server with one open document. A `|` in the text of the document is the cursor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.as_uri()
        self._document = (folder / "program.py").as_uri()
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "pyright.langserver", "--stdio"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        folders = [{"uri": self._folder, "name": "program"}]
        self._ask("initialize", processId=None, rootUri=None, workspaceFolders=folders, capabilities=CAPABILITIES)
        self._send(method="initialized", params={})
        document = {"uri": self._document, "languageId": "python", "version": 0, "text": ""}
        self._send(method="textDocument/didOpen", params={"textDocument": document})
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ask("shutdown")
        self._send(method="exit")
        self._process.communicate()

    def hover(self, text: str) -> str:
        """Return what an editor shows for the name at the cursor."""
        return self._ask_at_cursor("textDocument/hover", text)["contents"]["value"]

    def completions(self, text: str) -> list[str]:
        """Return what an editor offers at the cursor."""
        return [item["label"] for item in self._ask_at_cursor("textDocument/completion", text)["items"]]

    def signature(self, text: str) -> dict[str, str]:
        """Return the parameters that an editor shows at the cursor, and the documentation of the current one."""
        (signature,) = self._ask_at_cursor("textDocument/signatureHelp", text)["signatures"]
        return {each["label"]: each["documentation"]["value"] for each in signature["parameters"]}

    def _ask_at_cursor(self, method: str, text: str) -> Any:
        before, _, after = text.partition("|")
        document = {"uri": self._document, "version": next(self._numbers)}
        changes = [{"text": before + after}]
        self._send(method="textDocument/didChange", params={"textDocument": document, "contentChanges": changes})
        lines = before.split("\n")
        position = {"line": len(lines) - 1, "character": len(lines[-1])}
        return self._ask(method, textDocument={"uri": self._document}, position=position)

    def _ask(self, method: str, **params: object) -> Any:
        number = next(self._numbers)
        self._send(id=number, method=method, params=params)
        while True:
            message = self._receive()
            if "method" not in message and message["id"] == number:
                return message["result"]

            if "method" in message and "id" in message:
                self._send(id=message["id"], result=_answer(message))

    def _send(self, **message: object) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process.stdout
        headers = dict(line.split(b": ") for line in iter(self._process.stdout.readline, b"\r\n") if line)
        return json.loads(self._process.stdout.read(int(headers[b"Content-Length"])))


def _answer(request: dict[str, Any]) -> object:
    """Return the answer to a request of the server: it asks for settings, and for permissions that need no answer."""
    if request["method"] != "workspace/configuration":
        return None

    return [SETTINGS.get(item["section"]) for item in request["params"]["items"]]
