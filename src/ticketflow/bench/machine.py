"""What the figures depend on: the machine, and the version of everything that takes part."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from ticketflow.db.connecting import connect
from ticketflow.settings import Settings

_PACKAGES = ("ticketflow", "langgraph", "langgraph-checkpoint-postgres", "dbos")


def machine() -> dict[str, Any]:
    return {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.platform()}


async def versions(server: str, settings: Settings) -> dict[str, str]:
    """By name; what is not installed or not used is left out. Raises ``StoreUnavailable`` or ``BrokerUnavailable`` when
    a server does not answer."""
    found = {"python": platform.python_version(), "postgresql": await _postgresql(server)}
    if settings.rabbitmq_url is not None:
        found["rabbitmq"] = await _rabbitmq(settings.rabbitmq_url.get_secret_value())
    if commit := _commit():
        found["commit"] = commit
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    """The processor's name as Linux has it, else as Python does."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


async def _postgresql(server: str) -> str:
    async with await connect(server) as connection:
        return str(connection.info.parameter_status("server_version")).split()[0]


async def _rabbitmq(url: str) -> str:
    from ticketflow.broker import rabbit_connection

    connection = await rabbit_connection.connect(url)
    try:
        transport: Any = connection.transport
        return str(transport.connection.server_properties["version"])
    finally:
        await rabbit_connection.close(connection)


def _commit() -> str | None:
    """The commit of a checkout that this file is part of; ``-dirty`` where it was changed since."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()
