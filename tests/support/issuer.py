"""A Supabase project's side of authentication over real HTTP: its public keys, and tokens that it or a forger signs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

JWKS_PATH = "/auth/v1/.well-known/jwks.json"


class Key:
    """A signing key of one kind, with the public half as a JWK."""

    def __init__(self, algorithm: str, key_id: str | None = None, bits: int = 2048) -> None:
        self.algorithm = algorithm
        self.id = key_id or uuid4().hex
        self.private: Any
        match algorithm:
            case "RS256":
                self.private = rsa.generate_private_key(65537, bits)
                public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
            case "ES256":
                self.private = ec.generate_private_key(ec.SECP256R1())
                public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
            case _:
                self.private = ed25519.Ed25519PrivateKey.generate()
                public = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        self.jwk = {**public, "kid": self.id, "use": "sig", "alg": algorithm, "key_ops": ["verify"]}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        headers = {"kid": self.id, **header}
        return jwt.encode(claims, self.private, self.algorithm, headers)


class Issuer:
    """Serves its keys, counts who asks, and can be away."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[dict[str, Any]] = []
        self.fetches = 0
        self.answer: bytes | None = None
        self.status = 200

    @property
    def issuer(self) -> str:
        return f"{self.url}/auth/v1"

    def claims(self, **given: Any) -> dict[str, Any]:
        """What a signed-in user's token says; None takes a claim away."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": "authenticated",
            "sub": "6f1c2f1e-user",
            "role": "authenticated",
            "iat": now,
            "exp": now + 3600,
            **given,
        }
        return {name: value for name, value in claims.items() if value is not None}


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.fetches += 1
            body = json.dumps({"keys": issuer.keys}).encode() if issuer.answer is None else issuer.answer
            self.send_response(issuer.status if self.path == JWKS_PATH else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
