"""The greylisting role's refresh job under a real sh, with web servers that misbehave."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from shipped import context, module

GOOD = "".join(
    [
        "# postgrey whitelist for mail client hostnames\n\n",
        "vger.kernel.org\n",
        "/^mail[0-9]+\\.example\\.net$/\n",
        "192.0.2.0/24\n",
        "dgfip.example.fr \n",
        *(f"host{n}.example.org # a comment\n" for n in range(250)),
    ]
)
OLD = GOOD.replace("host7.", "old7.")

Handler = Callable[[BaseHTTPRequestHandler], None]


def ok(text: str, length: int | None = None) -> Handler:
    def handle(request: BaseHTTPRequestHandler) -> None:
        body = text.encode("latin-1")
        request.send_response(200)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        request.end_headers()
        request.wfile.write(body)

    return handle


def status(code: int, location: str = "") -> Handler:
    def handle(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/parked":
            return PARKED(request)
        request.send_response(code)
        if location:
            request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()
        return None

    return handle


def cut_off(request: BaseHTTPRequestHandler) -> None:
    """No length, and the connection ends in the middle of a line."""
    request.send_response(200)
    request.end_headers()
    request.wfile.write(GOOD[: len(GOOD) * 3 // 4].rstrip("\n").encode())


PARKED = ok("<!DOCTYPE html>\n<html><body>This domain is for sale</body></html>\n" + GOOD)

#: What the server does, and the word that says why the download is refused.
REFUSED: dict[str, tuple[Handler, str]] = {
    "not found": (status(404), "404"),
    "server error": (status(500), "500"),
    "empty": (ok(""), "empty"),
    "truncated": (ok(GOOD[:4000], len(GOOD)), "failed"),
    "cut off within a line": (cut_off, "within a line"),
    "too short": (ok("vger.kernel.org\n" * 10), "10 lines"),
    "parked": (PARKED, "web page"),
    "redirect to a parked page": (status(302, "/parked"), "web page"),
    "redirects for ever": (status(302, "/again"), "failed"),
    "redirect to a file": (status(302, "file:///etc/passwd"), "failed"),
    "binary": (ok(GOOD + "\0\n"), "not text"),
    "another list": (ok(GOOD.replace("vger.kernel.org", "x.example")), "lacks vger.kernel.org"),
    "bad pattern": (ok(GOOD + "/mail[0-/\n"), "no clients"),
    "prose": (ok(GOOD + "this list has moved\n"), "no clients"),
    "a shell command": (ok(GOOD + "$(touch${IFS}/tmp/x)\n"), "no clients"),
    "half gone": (ok("vger.kernel.org\n" * 210), "less than half"),
}


class Quiet(BaseHTTPRequestHandler):
    handler: Handler

    def do_GET(self) -> None:
        type(self).handler(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], str]]:
    servers: list[HTTPServer] = []

    def start(handler: Handler) -> str:
        kind = type("Kind", (Quiet,), {"handler": staticmethod(handler)})
        server = HTTPServer(("127.0.0.1", 0), kind)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/list"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def run(folder: Path, url: str, shell: str = "sh") -> subprocess.CompletedProcess[str]:
    script = folder / "postgrey-whitelist"
    script.write_bytes(
        module("greylisting").job(
            context("greylisting", {}, {}),
            url=url,
            path=str(folder / "whitelist_clients"),
            min_lines=200,
            anchors=["vger.kernel.org"],
            name="postgrey-whitelist",
            notify=f"echo told >>{folder}/told",
        )
    )
    script.chmod(0o755)
    argv = [str(script)] if shell == "sh" else [shell, str(script)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not (shutil.which("curl") or shutil.which("wget")) or not shutil.which("perl"):
        pytest.skip("needs perl, and curl or wget")
    (tmp_path / "whitelist_clients").write_text(OLD)
    (tmp_path / "whitelist_clients").chmod(0o640)
    return tmp_path


def unchanged(folder: Path) -> bool:
    names = sorted(each.name for each in folder.iterdir())
    kept = (folder / "whitelist_clients").read_text() == OLD
    return kept and names == ["postgrey-whitelist", "whitelist_clients"]


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str, folder: Path, serve: Callable[[Handler], str]) -> None:
    handler, why = REFUSED[what]
    done = run(folder, serve(handler))
    assert done.returncode == 1
    assert why in done.stderr
    assert "whitelist_clients stays as it is" in done.stderr
    assert unchanged(folder)


def test_nobody_listens(folder: Path) -> None:
    done = run(folder, "http://127.0.0.1:1/list")
    assert (done.returncode, "the download failed" in done.stderr) == (1, True)
    assert unchanged(folder)


def test_changed(folder: Path, serve: Callable[[Handler], str]) -> None:
    done = run(folder, serve(ok(GOOD)))
    assert (done.returncode, done.stderr) == (0, "")
    new = folder / "whitelist_clients"
    assert new.read_text() == GOOD
    assert new.stat().st_mode & 0o777 == 0o640
    assert (folder / "told").read_text() == "told\n"
    assert sorted(each.name for each in folder.iterdir()) == [
        "postgrey-whitelist",
        "told",
        "whitelist_clients",
    ]


def test_the_same(folder: Path, serve: Callable[[Handler], str]) -> None:
    done = run(folder, serve(ok(OLD)))
    assert (done.returncode, done.stderr) == (0, "")
    assert unchanged(folder)


def test_the_first_time(folder: Path, serve: Callable[[Handler], str]) -> None:
    (folder / "whitelist_clients").unlink()
    assert run(folder, serve(ok(GOOD))).returncode == 0
    assert (folder / "whitelist_clients").read_text() == GOOD


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_every_shell_reads_it(shell: str, folder: Path) -> None:
    words = shell.split()
    if not shutil.which(words[0]):
        pytest.skip(f"no {words[0]} here")
    run(folder, "http://127.0.0.1:1/list")
    script = str(folder / "postgrey-whitelist")
    assert subprocess.run([*words, "-n", script], check=False).returncode == 0
    assert Path(script).read_bytes().startswith(b"#!/bin/sh\n")
    assert "." not in Path(script).name  # run-parts ignores names with dots
