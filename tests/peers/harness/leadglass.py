"""Leadglass as one more server, driven only through its command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from leadglass.edge.accounts import AccountFile, Role
from tests.peers.harness import programs
from tests.peers.harness.certificates import Credentials
from tests.peers.harness.process import Running
from tests.peers.harness.servers import Live

PROGRAM = Path(os.environ.get("LEADGLASS_PROGRAM", str(Path(sys.executable).parent / "leadglass")))


def is_available() -> bool:
    """Tell whether this environment has a `leadglass` that starts."""
    return PROGRAM.exists() and subprocess.run([str(PROGRAM), "--help"], capture_output=True).returncode == 0


class CommandFailed(Exception):
    """A verb ended with another status than wanted."""


class Site:
    """One site folder with its hub."""

    def __init__(self, folder: Path, *, tls: bool = True, plain: bool = False, settings: Sequence[str] = ()) -> None:
        self.folder = folder / "site"
        self.exchange = folder / "nodes"
        self.exchange.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log"
        self.initial = self.command("init", str(self.folder))
        self.tls_port = programs.free_port() if tls else 0
        self.plain_port = programs.free_port() if plain else 0
        self.web_port = programs.free_port()
        toml = self.folder / "leadglass.toml"
        text = toml.read_text()
        text = re.sub(r"(?m)^tls_port = .*", "tls_port = " + (str(self.tls_port) if tls else '"off"'), text)
        text = re.sub(r"(?m)^plain_port = .*", "plain_port = " + (str(self.plain_port) if plain else '"off"'), text)
        text = re.sub(r"(?m)^port = .*", f"port = {self.web_port}", text)
        for setting in settings:
            key = setting.split("=")[0].strip()
            text = re.sub(rf"(?m)^# {re.escape(key)} = .*", setting, text)
        toml.write_text(text)
        self.running: Running | None = None

    def command(self, *arguments: str, status: int | None = 0) -> str:
        """Run a verb; gives what it printed."""
        done = subprocess.run(
            [str(PROGRAM), *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=self.exchange,
            stdin=subprocess.DEVNULL,
        )
        if status is not None and done.returncode != status:
            raise CommandFailed(f"leadglass {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def verb(self, *arguments: str, status: int | None = 0) -> str:
        """Run a verb on this site."""
        return self.command(*arguments, "--site", str(self.folder), status=status)

    def answer(self, *arguments: str, status: int | None = 0) -> object:
        """Run a verb with --json and give its answer."""
        return json.loads(self.verb(*arguments, "--json", status=status))

    def add_node(
        self,
        name: str,
        *,
        port: int | None = None,
        plaintext: bool = False,
        to: Path | None = None,
        may: str = "store,query,retrieve",
    ) -> Credentials:
        """Add and approve a node; gives its key, certificate and the site's authority."""
        folder = to or self.exchange / name
        self.verb(
            "node",
            "add",
            name,
            "--host",
            "127.0.0.1",
            "--port",
            str(port or 11112),
            "--may",
            may,
            "--to",
            str(folder),
            "--address",
            "127.0.0.0/8",
            *(["--plaintext"] if plaintext else []),
        )
        return credentials_in(folder)

    def reader_token(self) -> str:
        """Make an account that may read, and a token for it. The hub reads its accounts once, at start."""
        accounts = AccountFile(self.folder / "secrets/accounts.json")
        accounts.create("reader", Role.READER)
        accounts.set_password("reader", "a long enough password for tests")
        return accounts.issue_token("reader")

    def serve(self) -> Running:
        """Start the hub and return when it listens."""
        self.log.unlink(missing_ok=True)
        self.running = Running([str(PROGRAM), "serve", "--site", str(self.folder), "--json"], self.log)
        self.running.wait_for_line(lambda line: line.startswith("{"))
        return self.running

    def stop(self) -> None:
        if self.running is not None:
            self.running.stop()

    def stored(self) -> int:
        """Count archived and held objects, as the hub counts them."""
        answer = self.answer("status", status=None)
        assert isinstance(answer, dict)
        counts = answer.get("counts", answer)
        return int(counts.get("archived", 0)) + int(counts.get("held", 0))

    def ledger(self) -> list[dict[str, object]]:
        """Give the ledger's entries, oldest first."""
        answer = self.answer("ledger", "list", "--limit", "10000")
        assert isinstance(answer, dict)
        return list(reversed(answer["entries"]))

    def live(
        self, credentials: Credentials, *, tls: bool = True, calling: str = "SENDER", good: Credentials | None = None
    ) -> Live:
        assert self.running is not None
        return Live(
            "Leadglass",
            version("leadglass"),
            self.tls_port if tls else self.plain_port,
            "LEADGLASS",
            calling,
            credentials if tls else None,
            self.running,
            self.folder,
            self.stored,
            self.web_port,
            lambda: [json.dumps(line, sort_keys=True) for line in self.ledger()],
            good,
        )


def credentials_in(folder: Path) -> Credentials:
    """Name the key, certificate and authority that `node add --to` wrote."""
    return Credentials(folder / "node.key", folder / "node.pem", folder / "ca.pem")


@contextmanager
def leadglass(folder: Path, *, tls: bool = True, settings: Sequence[str] = ()) -> Iterator[Live]:
    """Start a fresh site with one approved sender, everything on: inspection, sealing, ledger, durability."""
    site = Site(folder, tls=True, plain=not tls, settings=settings)
    try:
        credentials = site.add_node("SENDER", plaintext=not tls)
        good = site.add_node("GOOD", plaintext=not tls)
        token = site.reader_token()
        site.serve()
        yield replace(site.live(credentials, tls=tls, good=good if tls else None), token=token)
    finally:
        site.stop()
        shutil.rmtree(site.folder, ignore_errors=True)
