"""The public keys of an issuer, fetched from its JWKS address and kept (RFC 7517)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx2
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ticketflow.domain.errors import KeysUnavailable

log = structlog.get_logger()

FRESH_SECONDS = 600.0
AGAIN_SECONDS = 10.0
"""The issuer is not asked more often, whatever key ids tokens name."""

_TIMEOUT = httpx2.Timeout(3.0)
_LARGEST_SET = 262_144
_SHORTEST_RSA_BITS = 2048
_ALGORITHMS: Mapping[tuple[object, object], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""The one algorithm for each kind of key, by ``kty`` and ``crv``: a token cannot choose another for it."""


class KeySet:
    """Finds a key by its id. Fetched again after ten minutes, and for an id that it does not know; while the issuer is
    away the keys that are known stay good."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._as_of = float("-inf")
        self._asked_at = float("-inf")
        self._failed = True
        self._asking: asyncio.Task[None] | None = None
        self._http: httpx2.AsyncClient | None = None

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key with this id, None when the issuer has none. Raises ``KeysUnavailable`` when it cannot be asked."""
        found = self._keys.get(key_id)
        if found is not None and self._clock() - self._as_of < FRESH_SECONDS:
            return found
        if self._asking is not None or self._clock() - self._asked_at >= AGAIN_SECONDS:
            await asyncio.shield(self._asked())
            found = self._keys.get(key_id)
        if found is None and self._failed:
            raise KeysUnavailable("the issuer's keys cannot be had")
        return found

    async def usable(self) -> bool:
        """Whether the issuer has any key. Raises ``KeysUnavailable`` when it cannot be asked."""
        await asyncio.shield(self._asked())
        if self._failed:
            raise KeysUnavailable(f"the issuer's keys cannot be had at {self._url}")
        return bool(self._keys)

    async def aclose(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()

    def _asked(self) -> asyncio.Task[None]:
        """The one fetch that is under way, for everyone who waits for it."""
        if self._asking is None:
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._fetch())
        return self._asking

    async def _fetch(self) -> None:
        try:
            keys = _usable(orjson.loads(await self._document()))
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            self._failed = True
            log.warning("access.keys_unavailable", url=self._url, error=f"{type(error).__name__}: {error}")
        else:
            self._keys, self._as_of, self._failed = keys, self._asked_at, False
            log.info("access.keys_fetched", url=self._url, keys=len(keys))
        finally:
            self._asking = None

    async def _document(self) -> bytes:
        if self._http is None:
            self._http = httpx2.AsyncClient(timeout=_TIMEOUT)
        async with asyncio.timeout(_TIMEOUT.read), self._http.stream("GET", self._url) as response:
            response.raise_for_status()
            return await _bounded(response.aiter_bytes())


async def _bounded(parts: AsyncIterator[bytes]) -> bytes:
    document = b""
    async for part in parts:
        document += part
        if len(document) > _LARGEST_SET:
            raise ValueError(f"more than {_LARGEST_SET} bytes")
    return document


def _usable(document: Any) -> Mapping[str, jwt.PyJWK]:
    """The keys for signatures of the kinds that are allowed, by id. Raises ``ValueError`` for no key set at all."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JSON Web Key Set")
    keys = {}
    for described in listed:
        key = _key(described)
        if key is not None:
            keys[described["kid"]] = key
    return keys


def _key(described: Any) -> jwt.PyJWK | None:
    if not isinstance(described, dict) or not isinstance(described.get("kid"), str):
        return None
    kind = described.get("kty"), described.get("crv")
    algorithm = _ALGORITHMS.get(kind) if all(isinstance(part, str | None) for part in kind) else None
    if algorithm is None or described.get("alg", algorithm) != algorithm or described.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(described, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _SHORTEST_RSA_BITS:
        return None
    return key
