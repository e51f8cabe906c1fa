"""The LangGraph checkpointer: checkpoints in PostgreSQL, behind the same door as everything else.

Two ways of writing. On its own, each ``aput`` and ``aput_writes`` is durable when it returns, as LangGraph's contract
asks. Within a worker's run (``configurable["run"]``), a step's checkpoint is handed to the run, which commits it in one
Change together with the step's event under the ticket's lease; that is what makes a step all or nothing.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)

from ticketflow.db.gateway import Gateway
from ticketflow.db.serde import ValueCodec, strict_serializer
from ticketflow.domain.change import CheckpointRow

RUN_KEY = "run"
"""Where a worker's run travels in a config's ``configurable``."""


class Run(Protocol):
    """A worker's hold on one ticket while the graph runs."""

    @property
    def saved(self) -> Mapping[str, Any] | None:
        """The newest checkpoint, as it came with the claim: reading it again would be a call for nothing."""
        ...

    async def commit_step(self, row: CheckpointRow) -> bool:
        """Commit a checkpoint with the event of the step it follows. False when there was no step to commit: the
        checkpoint then holds nothing that the ticket does not say already, and was not stored."""
        ...


class CheckpointSaver(BaseCheckpointSaver[str]):
    """Implements every capability of ``langgraph-checkpoint-conformance``; asynchronous methods only."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(serde=strict_serializer())
        self._gateway = gateway
        self._codec = ValueCodec()

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Versions order by their counter; the random tail keeps two branches of one thread apart."""
        count = 0 if current is None else int(current.split(".", 1)[0])
        return f"{count + 1:08d}.{random.getrandbits(24):06x}"

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        configurable = config["configurable"]
        thread_id, namespace = configurable["thread_id"], configurable.get("checkpoint_ns", "")
        wanted = get_checkpoint_id(config)
        run: Run | None = configurable.get(RUN_KEY)
        if run is not None and not wanted and namespace == "":
            if run.saved is None:
                return None
            return self._tuple({"thread_id": thread_id, "checkpoint_ns": namespace, "writes": [], **run.saved})
        args: dict[str, Any] = {"thread_id": thread_id, "checkpoint_ns": namespace, "limit": 1}
        if wanted:
            args["checkpoint_id"] = wanted
        rows = await self._gateway.call("ticketflow_checkpoint_list", args)
        return self._tuple(rows[0]) if rows else None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        args: dict[str, Any] = {"limit": limit}
        if config is not None:
            configurable = config["configurable"]
            args["thread_id"] = configurable["thread_id"]
            if "checkpoint_ns" in configurable:
                args["checkpoint_ns"] = configurable["checkpoint_ns"]
            if checkpoint_id := get_checkpoint_id(config):
                args["checkpoint_id"] = checkpoint_id
        if filter:
            args["filter"] = filter
        if before is not None and (before_id := get_checkpoint_id(before)):
            args["before"] = before_id
        for row in await self._gateway.call("ticketflow_checkpoint_list", args):
            yield self._tuple(row)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        configurable = config["configurable"]
        run: Run | None = configurable.get(RUN_KEY)
        values = checkpoint["channel_values"]
        row = CheckpointRow(
            thread_id=configurable["thread_id"],
            checkpoint_ns=configurable.get("checkpoint_ns", ""),
            checkpoint_id=checkpoint["id"],
            parent_id=configurable.get("checkpoint_id"),
            checkpoint={key: value for key, value in checkpoint.items() if key != "channel_values"},
            metadata=get_checkpoint_metadata(config, metadata),
            channels={
                channel: {"v": version, **self._codec.encode(values[channel])}
                for channel, version in new_versions.items()
                if channel in values
            },
        )
        if run is None:
            await self._gateway.call("ticketflow_checkpoint_put", _row_json(row))
        else:
            await run.commit_step(row)
        return _config(row.thread_id, row.checkpoint_ns, row.checkpoint_id)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        configurable = config["configurable"]
        if configurable.get(RUN_KEY) is not None:
            # The steps run one at a time and each is committed whole with the checkpoint that follows it. A write
            # on its own would only say that a step had finished without having been committed.
            return
        await self._gateway.call(
            "ticketflow_checkpoint_writes",
            {
                "thread_id": configurable["thread_id"],
                "checkpoint_ns": configurable.get("checkpoint_ns", ""),
                "checkpoint_id": configurable["checkpoint_id"],
                "task_id": task_id,
                "task_path": task_path,
                "writes": [
                    {
                        "idx": WRITES_IDX_MAP.get(channel, index),
                        "channel": channel,
                        "value": self._codec.encode(value),
                    }
                    for index, (channel, value) in enumerate(writes)
                ],
            },
        )

    async def adelete_thread(self, thread_id: str) -> None:
        await self._gateway.call("ticketflow_checkpoint_delete", {"thread_ids": [thread_id]})

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self._gateway.call("ticketflow_checkpoint_delete_runs", {"run_ids": list(run_ids)})

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self._gateway.call("ticketflow_checkpoint_copy", {"source": source_thread_id, "target": target_thread_id})

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"unknown strategy {strategy!r}: keep_latest or delete")
        function = "ticketflow_checkpoint_prune" if strategy == "keep_latest" else "ticketflow_checkpoint_delete"
        await self._gateway.call(function, {"thread_ids": list(thread_ids)})

    def _tuple(self, row: Mapping[str, Any]) -> CheckpointTuple:
        values = {
            channel: self._codec.decode({key: part for key, part in stored.items() if key != "v"})
            for channel, stored in row["channels"].items()
        }
        thread_id, namespace = row["thread_id"], row["checkpoint_ns"]
        return CheckpointTuple(
            config=_config(thread_id, namespace, row["checkpoint_id"]),
            checkpoint=cast(Checkpoint, {**row["checkpoint"], "channel_values": values}),
            metadata=row["metadata"],
            parent_config=_config(thread_id, namespace, row["parent_id"]) if row["parent_id"] else None,
            pending_writes=[
                (write["task_id"], write["channel"], self._codec.decode(write["value"])) for write in row["writes"]
            ],
        )


def _config(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def _row_json(row: CheckpointRow) -> dict[str, Any]:
    return {
        "thread_id": row.thread_id,
        "checkpoint_ns": row.checkpoint_ns,
        "checkpoint_id": row.checkpoint_id,
        "parent_id": row.parent_id,
        "checkpoint": row.checkpoint,
        "metadata": row.metadata,
        "channels": row.channels,
    }
