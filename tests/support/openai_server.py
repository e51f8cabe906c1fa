"""A real HTTP server that speaks enough of the OpenAI API to test against, with faults on demand.

``python tests/support/openai_server.py --port 8010`` serves it alone, ``async with running_server() as server`` in a
test. It checks what OpenAI checks (key, model, messages, strict JSON schema), answers each of the four tasks
sensibly from the material in the user message (never from the instructions), and counts what it was asked:

* ``POST /v1/chat/completions``
* ``GET /control/stats``: calls and answers, by task, and by task for every ``[[marker]]`` found in a ticket's text
* ``POST /control/faults``: any fields of ``Faults``; ``POST /control/reset``: no faults, counters at zero
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gzip
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

if __package__ in (None, ""):  # run as a script, from anywhere
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from canned_answers import answer_for, task_of
    from openai_faults import Faults, Stats
else:
    from .canned_answers import answer_for, task_of
    from .openai_faults import Faults, Stats

MARKER = re.compile(r"\[\[[^\[\]]{1,100}\]\]")


class Refused(Exception):
    def __init__(self, status: int, message: str, kind: str, code: str | None) -> None:
        super().__init__(message)
        self.status, self.kind, self.code = status, kind, code


class CutOff(Response):
    """Promises more than it sends, so that the server has to drop the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"4096")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"id": "chatcmpl-', "more_body": True})


class OpenAIServer:
    """The application and its state. ``last_request`` is the body of the last accepted call."""

    def __init__(self, *, api_key: str | None = None, faults: Faults | None = None) -> None:
        self.api_key = api_key
        self.faults = faults or Faults()
        self.stats = Stats()
        self.last_request: dict[str, Any] = {}
        self.url = ""
        self._strict: set[bytes] = set()
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._complete, methods=["POST"]),
                Route("/control/stats", self._report, methods=["GET"]),
                Route("/control/faults", self._set_faults, methods=["POST"]),
                Route("/control/reset", self._reset, methods=["POST"]),
            ]
        )

    def reset(self) -> None:
        self.faults, self.stats = Faults(), Stats()

    # --- the API ---------------------------------------------------------------------------------------------------

    async def _complete(self, request: Request) -> Response:
        stats = self.stats
        stats.total += 1
        call = stats.total
        stats.in_flight += 1
        stats.max_in_flight = max(stats.max_in_flight, stats.in_flight)
        stats.connections.add(request.client)
        try:
            return self._packed(await self._answer(request, call))
        except Refused as refused:
            stats.rejected += 1
            return self._packed(self._refusal(refused, request))
        finally:
            stats.in_flight -= 1

    async def _kept_back(self, task: str, markers: Iterable[str]) -> None:
        waiting = self.stats.waiting
        waiting[task] += 1
        try:
            if self.faults.latency_seconds:
                await asyncio.sleep(self.faults.latency_seconds)
            # Whoever lets it go may be another process, over HTTP, or a test that sets the list.
            while not {task, *markers}.isdisjoint(self.faults.held):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        finally:
            waiting[task] -= 1

    async def _answer(self, request: Request, call: int) -> Response:
        self._check_key(request)
        body = self._read(await request.body())
        schema = body["response_format"]["json_schema"]["schema"]
        material = _material(body["messages"])
        task = task_of(schema)
        markers = _markers(material)
        self.stats.calls[task] += 1
        for marker in markers:
            self.stats.markers[marker][task] += 1
        await self._kept_back(task, markers)
        fault = self.faults.pick(call, task, markers)
        if fault is not None:
            self.stats.faults[fault] += 1
        match fault:
            case "rate_limit":
                raise Refused(429, "Rate limit reached", "requests", "rate_limit_exceeded")
            case "quota":
                raise Refused(429, "You exceeded your current quota", "insufficient_quota", "insufficient_quota")
            case "error":
                raise Refused(500, "The server had an error", "server_error", None)
            case "bad_request":
                raise Refused(400, "Unsupported parameter", "invalid_request_error", "unsupported_parameter")
            case "drop":
                return CutOff()

        content: str | None = self.faults.content
        if content is None:
            content = json.dumps(answer_for(task, material, schema), ensure_ascii=False)
        refusal, finish = None, "stop"
        if fault == "truncate":
            content, finish = content[: len(content) // 2], "length"
        elif fault == "refuse":
            content, refusal = None, "I can't help with that."
        elif fault == "garble":
            content = "Certainly! Here you go: {"
        elif fault == "misfit":
            content = json.dumps({"unexpected": content[:10]})
        if fault is None:
            self.stats.answered[task] += 1
            for marker in markers:
                self.stats.answered_markers[marker][task] += 1
        return _json(self._completion(body, call, content, refusal, finish))

    def _completion(
        self, body: dict[str, Any], call: int, content: str | None, refusal: str | None, finish: str
    ) -> dict[str, Any]:
        asked = sum(len(m["content"]) for m in body["messages"]) // 4
        said = len(content or refusal or "") // 4
        usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
        return {
            "id": f"chatcmpl-{call}",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish,
                    "logprobs": None,
                    "message": {"role": "assistant", "content": content, "refusal": refusal},
                }
            ],
            **({"usage": usage} if self.faults.usage else {}),
            **self.faults.completion,
        }

    def _packed(self, response: Response) -> Response:
        if not self.faults.padding and not self.faults.gzip:
            return response
        body = bytes(response.body) + b" " * self.faults.padding
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        if self.faults.gzip:
            body, headers["content-encoding"] = gzip.compress(body, 1), "gzip"
        return Response(body, response.status_code, headers)

    def _check_key(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Refused(401, "You didn't provide an API key.", "invalid_request_error", None)
        if self.api_key is not None and key != self.api_key:
            raise Refused(401, f"Incorrect API key provided: {key}", "invalid_request_error", "invalid_api_key")

    def _read(self, raw: bytes) -> dict[str, Any]:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise _bad("We could not parse the JSON body of your request.") from None
        if not isinstance(body, dict) or not isinstance(body.get("model"), str) or not body["model"]:
            raise _bad("you must provide a model parameter")
        if body["model"] == "no-such-model":
            raise Refused(404, "The model `no-such-model` does not exist", "invalid_request_error", "model_not_found")
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise _bad("'messages' must hold at least one message")
        for message in messages:
            if not isinstance(message, dict) or message.get("role") not in ("system", "developer", "user", "assistant"):
                raise _bad("a message needs a known role")
            if not isinstance(message.get("content"), str):
                raise _bad("this server reads text content only")
        if body.get("stream"):
            raise _bad("this server does not stream")
        self._check_format(body.get("response_format"))
        self.last_request = body
        return body

    def _check_format(self, wanted: Any) -> None:
        if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
            raise _bad("'response_format' must be of type 'json_schema'")
        spec = wanted.get("json_schema")
        if not isinstance(spec, dict) or not isinstance(spec.get("schema"), dict):
            raise _bad("Missing required parameter: 'response_format.json_schema.schema'")
        if not re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", str(spec.get("name"))):
            raise _bad("Invalid 'response_format.json_schema.name'")
        if spec.get("strict") is not True:
            raise _bad("this server insists on 'strict': true")
        fingerprint = orjson.dumps(spec["schema"])
        if fingerprint not in self._strict:
            _check_strict(spec["schema"])
            self._strict.add(fingerprint)

    def _refusal(self, refused: Refused, request: Request) -> Response:
        message = str(refused)
        if self.faults.echo_key:
            message += f" (request had {request.headers.get('authorization')})"
        body = {"error": {"message": message, "type": refused.kind, "param": None, "code": refused.code}}
        headers = {"x-request-id": f"req_{self.stats.total}"}
        if refused.status == 429 and refused.code != "insufficient_quota" and self.faults.retry_after:
            headers["retry-after"] = self.faults.retry_after
        return Response(orjson.dumps(body), refused.status, headers, "application/json")

    # --- control ---------------------------------------------------------------------------------------------------

    async def _report(self, request: Request) -> Response:
        return _json(self.stats.as_json())

    async def _set_faults(self, request: Request) -> Response:
        try:
            self.faults.change(orjson.loads(await request.body()))
        except ValueError as error:
            return Response(orjson.dumps({"error": {"message": str(error)}}), 400, media_type="application/json")
        return _json(dataclasses.asdict(self.faults))

    async def _reset(self, request: Request) -> Response:
        self.reset()
        return _json(self.stats.as_json())


def _json(value: object) -> Response:
    # stdlib where a lone surrogate must get through, as some providers send them
    try:
        raw = orjson.dumps(value)
    except orjson.JSONEncodeError:
        raw = json.dumps(value).encode()
    return Response(raw, media_type="application/json")


def _bad(message: str) -> Refused:
    return Refused(400, message, "invalid_request_error", None)


def _check_strict(schema: Any) -> None:
    """The two rules of strict mode that are easily broken: closed objects, and every property required."""
    if isinstance(schema, list):
        for item in schema:
            _check_strict(item)
    if not isinstance(schema, dict):
        return
    if "properties" in schema and isinstance(schema["properties"], dict):
        if schema.get("additionalProperties") is not False:
            raise _bad("Invalid schema for response_format: 'additionalProperties' must be false")
        if set(schema.get("required", ())) != set(schema["properties"]):
            raise _bad("Invalid schema for response_format: 'required' must list every property")
        for value in schema["properties"].values():
            if isinstance(value, dict) and "default" in value:
                raise _bad("Invalid schema for response_format: 'default' is not permitted")
    for value in schema.values():
        _check_strict(value)


def _material(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON document between the last <data> and the only </data> of the user message; empty if there is none."""
    for message in messages:
        if message["role"] == "user":
            _, _, rest = message["content"].rpartition("<data>")
            try:
                found = orjson.loads(rest.partition("</data>")[0])
            except orjson.JSONDecodeError:
                continue
            if isinstance(found, dict):
                return found
    return {}


def _markers(material: dict[str, Any]) -> list[str]:
    ticket = material.get("ticket") or {}
    text = f"{ticket.get('subject', '')}\n{ticket.get('body', '')}"
    return sorted(set(MARKER.findall(text))) if "[[" in text else []


@asynccontextmanager
async def running_server(
    *, api_key: str | None = None, faults: Faults | None = None, port: int = 0
) -> AsyncIterator[OpenAIServer]:
    """The server on a loopback port of its own, in the running event loop; ``server.url`` is what clients need."""
    server = OpenAIServer(api_key=api_key, faults=faults)
    config = uvicorn.Config(
        server.app, log_config=None, log_level="critical", access_log=False, ws="none", lifespan="off",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    config.load()
    runner = uvicorn.Server(config)
    runner.lifespan = config.lifespan_class(config)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(2048)
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        await runner.startup(sockets=[listener])
        try:
            yield server
        finally:
            await runner.shutdown(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("OPENAI_SERVER_PORT", "8010")))
    parser.add_argument("--api-key", default=os.environ.get("OPENAI_SERVER_KEY"), help="the only key accepted")
    for each in dataclasses.fields(Faults):
        if isinstance(each.default, (int, float, str)) and not isinstance(each.default, bool):
            name = each.name.upper()
            value = type(each.default)(os.environ.get(f"OPENAI_SERVER_{name}", each.default))
            parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=value)
    options = vars(parser.parse_args())
    host, port, api_key = options.pop("host"), options.pop("port"), options.pop("api_key")
    server = OpenAIServer(api_key=api_key, faults=Faults(**options))
    print(f"OpenAI test server on http://{host}:{port}/v1", file=sys.stderr, flush=True)
    uvicorn.run(server.app, host=host, port=port, log_level="critical", access_log=False, ws="none", backlog=4096)


if __name__ == "__main__":
    main()
