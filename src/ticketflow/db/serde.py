"""Channel values as JSON: plain values stand as they are, anything else as strictly decoded msgpack.

No pickle anywhere, and msgpack may only revive the types that LangGraph itself needs: a checkpoint row cannot make
this process run code.
"""

from __future__ import annotations

import base64
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ticketflow.domain.errors import Poison


def strict_serializer() -> JsonPlusSerializer:
    """LangGraph's serializer without pickle and with only its built-in safe types."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)


class ValueCodec:
    """Encodes one value to ``{"j": value}`` or ``{"t": type, "b": base64}`` and back.

    ``decode`` raises ``Poison`` for anything that ``encode`` cannot have written.
    """

    def __init__(self, serializer: JsonPlusSerializer | None = None) -> None:
        self._serializer = serializer or strict_serializer()

    def encode(self, value: Any) -> dict[str, Any]:
        if _is_plain(value):
            return {"j": value}
        kind, data = self._serializer.dumps_typed(value)
        return {"t": kind, "b": base64.b64encode(data).decode()}

    def decode(self, stored: Any) -> Any:
        try:
            if "j" in stored:
                return stored["j"]
            return self._serializer.loads_typed((stored["t"], base64.b64decode(stored["b"], validate=True)))
        except Exception as error:
            raise Poison(f"a checkpoint value cannot be read: {type(error).__name__}") from error


def _is_plain(value: Any) -> bool:
    """Whether jsonb gives exactly this value back: exact types only, and nothing that it cannot hold."""
    kind = type(value)
    if kind is str:
        return _storable(value)
    if kind is dict:
        return all(type(key) is str and _storable(key) and _is_plain(item) for key, item in value.items())
    if kind is list:
        return all(map(_is_plain, value))
    if kind is int or kind is float:
        return bool(abs(value) < 2**53)
    return value is None or kind is bool


def _storable(text: str) -> bool:
    if "\x00" in text:
        return False
    # ASCII knows of itself that it is; no lone surrogate is.
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
