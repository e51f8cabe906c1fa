"""Over HTTP: a good token is its holder, and any other is a 401 that changes nothing and shows in no log."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from tests.support.access import OTHER_SECRET, SECRET, SHARED_SECRET, bearer, guarded_settings, own_claims, signed
from tests.support.api import Api, a_ticket, assert_problem, served
from tests.support.issuer import Issuer, Key, running_issuer
from ticketflow.domain.roles import Role, Scope

RSA, EC, EDWARDS = Key("RS256"), Key("ES256"), Key("EdDSA")
FORGERS_RSA, FORGERS_EC = Key("RS256"), Key("ES256")
PUBLIC_PEM = RSA.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        issuer.keys = [RSA.jwk, EC.jwk, EDWARDS.jwk]
        yield issuer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(bare_database_url: str, issuer: Issuer) -> AsyncIterator[Api]:
    async with served(guarded_settings(bare_database_url, issuer.url)) as api:
        yield api


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def resigned(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """Signed with HMAC by hand: a library would not sign with a public key."""
    text = f"{part(header)}.{part(claims)}".encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(text, secret)
    return f"{text.decode()}.{part(signature)}"


def own(secret: str = OTHER_SECRET, **claims: Any) -> str:
    return signed(own_claims(**claims), secret)


NOW = int(time.time())
SELF = Callable[[Issuer], str]
BAD: dict[str, tuple[str, SELF]] = {
    "garbage": ("malformed", lambda _: "garbage"),
    "two parts": ("malformed", lambda _: "a.b"),
    "no base64": ("malformed", lambda _: "a.%%%.c"),
    "not JSON": ("malformed", lambda _: f"{part(b'x')}.{part(b'x')}.x"),
    "a list": ("issuer", lambda _: f"{part({})}.{part([1])}.x"),
    "too large": ("too_large", lambda _: signed(own_claims(pad="x" * 8192))),
    "a deep header": ("malformed", lambda _: f"{part(b'[' * 3000)}.{part(own_claims())}.x"),
    "a deep payload": ("malformed", lambda _: f"{part({})}.{part(b'[' * 3000)}.x"),
    "no issuer": ("issuer", lambda _: signed(own_claims(iss=None))),
    "an unknown issuer": ("issuer", lambda _: signed(own_claims(iss="https://evil.example/auth/v1"))),
    "an issuer that is no text": ("issuer", lambda _: resigned({"alg": "HS256"}, own_claims(iss=[1]), b"x" * 32)),
    "own: another secret": ("signature", lambda _: own()),
    "own: the other verifier's secret": ("signature", lambda _: own(SHARED_SECRET)),
    "own: no signature": ("signature", lambda _: signed(own_claims()).rpartition(".")[0] + "."),
    "own: none": ("algorithm", lambda _: f"{part({'alg': 'none'})}.{part(own_claims())}."),
    "own: None": ("algorithm", lambda _: f"{part({'alg': 'nOnE'})}.{part(own_claims())}."),
    "own: no algorithm": ("algorithm", lambda _: f"{part({'typ': 'JWT'})}.{part(own_claims())}."),
    "own: another HMAC": ("algorithm", lambda _: signed(own_claims(), SECRET * 2, "HS512")),
    "own: an unknown critical extension": ("malformed", lambda _: signed(own_claims(), crit=["x"], x=1)),
    "own: expired": ("expired", lambda _: signed(own_claims(exp=NOW - 60))),
    "own: never expires": ("claim_missing", lambda _: signed(own_claims(exp=None))),
    "own: expires at no time": ("malformed", lambda _: signed(own_claims(exp="never"))),
    "own: not yet": ("not_yet_valid", lambda _: signed(own_claims(nbf=NOW + 600))),
    "own: from the future": ("not_yet_valid", lambda _: signed(own_claims(iat=NOW + 600))),
    "own: no audience": ("claim_missing", lambda _: signed(own_claims(aud=None))),
    "own: another audience": ("audience", lambda _: signed(own_claims(aud="authenticated"))),
    "own: nobody": ("claim_missing", lambda _: signed(own_claims(sub=None))),
    "own: an empty name": ("subject", lambda _: signed(own_claims(sub=""))),
    "own: the pipeline": ("subject", lambda _: signed(own_claims(sub="pipeline"))),
    "own: the system": ("subject", lambda _: signed(own_claims(sub="system"))),
    "own: a long name": ("subject", lambda _: signed(own_claims(sub="x" * 101))),
    "own: a name with a line break": ("subject", lambda _: signed(own_claims(sub="a\nb"))),
    "own: no role": ("role", lambda _: signed(own_claims(role=None))),
    "own: an unknown role": ("role", lambda _: signed(own_claims(role="root"))),
    "own: a role that is no text": ("role", lambda _: signed(own_claims(role=["admin"]))),
    "own: no scope": ("scope", lambda _: signed(own_claims(scope=None))),
    "own: an unknown scope": ("scope", lambda _: signed(own_claims(scope="read everything"))),
    "own: no id": ("token_id", lambda _: signed(own_claims(jti=None))),
    "own: an id that is none": ("token_id", lambda _: signed(own_claims(jti="1"))),
    "own: signed by the project": ("algorithm", lambda _: RSA.sign(own_claims())),
    "theirs: an unknown key": ("key_unknown", lambda i: FORGERS_RSA.sign(i.claims())),
    "theirs: a forger with a known key's id": ("signature", lambda i: FORGERS_RSA.sign(i.claims(), kid=RSA.id)),
    "theirs: a key of another kind": ("algorithm", lambda i: FORGERS_EC.sign(i.claims(), kid=RSA.id)),
    "theirs: no key id": ("key_unknown", lambda i: jwt.encode(i.claims(), RSA.private, "RS256")),
    "theirs: none": ("algorithm", lambda i: f"{part({'alg': 'none', 'kid': RSA.id})}.{part(i.claims())}."),
    "theirs: HMAC with the public key": (
        "signature",
        lambda i: resigned({"alg": "HS256", "typ": "JWT", "kid": RSA.id}, i.claims(), PUBLIC_PEM),
    ),
    "theirs: another HMAC": ("algorithm", lambda i: signed(i.claims(), SHARED_SECRET + "x" * 40, "HS512")),
    "theirs: another shared secret": ("signature", lambda i: signed(i.claims(), OTHER_SECRET)),
    "theirs: a stronger RSA than the key's": ("algorithm", lambda i: jwt.encode(i.claims(), RSA.private, "RS512")),
    "theirs: expired": ("expired", lambda i: EC.sign(i.claims(exp=NOW - 60))),
    "theirs: never expires": ("claim_missing", lambda i: EC.sign(i.claims(exp=None))),
    "theirs: not yet": ("not_yet_valid", lambda i: EC.sign(i.claims(nbf=NOW + 600))),
    "theirs: another audience": ("audience", lambda i: EC.sign(i.claims(aud="anon"))),
    "theirs: no audience": ("claim_missing", lambda i: EC.sign(i.claims(aud=None))),
    "theirs: another project": ("issuer", lambda i: EC.sign(i.claims(iss=i.issuer + "/"))),
    "theirs: nobody": ("claim_missing", lambda i: EC.sign(i.claims(sub=None))),
    "theirs: the pipeline": ("subject", lambda i: EC.sign(i.claims(sub="pipeline"))),
    "theirs: a customer called system": (
        "subject",
        lambda i: EC.sign(i.claims(app_metadata={"customer_id": "system"})),
    ),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_token_that_is_not_good_is_refused(guarded: Api, issuer: Issuer, kind: str) -> None:
    reason, forge = BAD[kind]
    token = forge(issuer)
    before = await guarded.rows()
    with capture_logs() as logged:
        answer = await guarded.http.post("/tickets", json=a_ticket(), headers={"Authorization": f"Bearer {token}"})
    problem = assert_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="ticketflow", error="invalid_token"'
    assert await guarded.rows() == before
    [line] = [line for line in logged if line["event"] == "access.refused"]
    assert line["reason"] == reason
    shown = f"{logged} {problem}"
    assert not [piece for piece in token.split(".") if len(piece) > 8 and piece in shown]


@pytest.mark.parametrize(
    "headers", [[], [("Authorization", "Bearer")], [("Authorization", "Basic bWlhOm1pYQ==")], [("Authorization", "x")]]
)
async def test_without_a_token_the_answer_says_what_it_takes(guarded: Api, headers: list[tuple[str, str]]) -> None:
    for method, path in (("GET", "/tickets"), ("POST", "/tickets"), ("GET", "/metrics"), ("GET", "/nowhere")):
        answer = await guarded.http.request(method, path, headers=headers)
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="ticketflow"'


async def test_two_tokens_are_none(guarded: Api) -> None:
    good = bearer(Role.ADMIN)["Authorization"]
    answer = await guarded.http.get("/tickets", headers=[("Authorization", good), ("Authorization", good)])
    assert_problem(answer, 401, "unauthenticated")


async def test_what_says_nothing_of_tickets_needs_no_token(guarded: Api) -> None:
    for path in ("/", "/health", "/ready", "/docs", "/openapi.json"):
        for headers in ({}, {"Authorization": "Bearer garbage"}):
            assert (await guarded.http.get(path, headers=headers)).status_code in (200, 307), path
    # Not what lies below them, nor what only looks like them.
    for path in ("/docs/", "/health/x", "/HEALTH", "/redoc", "/docs/oauth2-redirect"):
        assert_problem(await guarded.http.get(path), 401, "unauthenticated")


async def subject_of(api: Api, token: str) -> str:
    """As whom a ticket is taken in; for a customer, only their own id is."""
    for customer_id in ("cus_1", "user-1"):
        answer = await api.http.post(
            "/tickets", json=a_ticket(customer_id=customer_id), headers={"Authorization": f"Bearer {token}"}
        )
        if answer.status_code == 201:
            [(actor,)] = await api.sql("select actor from events where ticket_id = %s", answer.json()["ticket_id"])
            return str(actor)
    return answer.text


@pytest.mark.parametrize("key", [RSA, EC, EDWARDS, None], ids=["RS256", "ES256", "EdDSA", "HS256"])
async def test_a_user_of_the_project_is_known_by_any_of_its_keys(guarded: Api, issuer: Issuer, key: Key | None) -> None:
    claims = issuer.claims(sub="user-1")
    token = key.sign(claims) if key else signed(claims, SHARED_SECRET)
    assert await subject_of(guarded, token) == "customer:user-1"


@pytest.mark.parametrize(
    ("claims", "actor"),
    [
        ({}, "customer:user-1"),
        ({"app_metadata": {"role": "agent"}}, "agent:user-1"),
        ({"app_metadata": {"role": "admin", "customer_id": "cus_1"}}, "admin:user-1"),
        ({"app_metadata": {"customer_id": "cus_1"}}, "customer:cus_1"),
        ({"app_metadata": {"customer_id": ""}}, "customer:user-1"),
        ({"app_metadata": {"customer_id": 7}}, "customer:user-1"),
        ({"app_metadata": {"role": "root"}}, "customer:user-1"),
        ({"app_metadata": {"role": ["admin"]}}, "customer:user-1"),
        ({"app_metadata": "admin"}, "customer:user-1"),
        ({"role": "admin"}, "customer:user-1"),
        ({"role": "service_role"}, "customer:user-1"),
        ({"user_metadata": {"role": "admin", "customer_id": "cus_1"}}, "customer:user-1"),
        ({"raw_app_meta_data": {"role": "admin"}}, "customer:user-1"),
    ],
)
async def test_role_and_customer_come_from_what_only_administrators_write(
    guarded: Api, issuer: Issuer, claims: dict[str, Any], actor: str
) -> None:
    assert await subject_of(guarded, EC.sign(issuer.claims(sub="user-1", **claims))) == actor


async def test_while_the_projects_keys_cannot_be_had_the_answer_is_503(bare_database_url: str) -> None:
    settings = guarded_settings(bare_database_url, "http://127.0.0.1:1")
    issuer = Issuer("http://127.0.0.1:1")
    async with served(settings) as api:
        before = await api.rows()
        headers = {"Authorization": f"Bearer {EC.sign(issuer.claims())}"}
        answer = await api.http.post("/tickets", json=a_ticket(), headers=headers)
        assert "nothing was done" in assert_problem(answer, 503, "keys_unavailable")["detail"]
        assert answer.headers["retry-after"] == "1"
        assert await api.rows() == before
        # Ticketflow's own tokens do not need them.
        assert (await api.http.get("/tickets", headers=bearer(Role.ADMIN))).status_code == 200


async def test_without_the_shared_secret_no_hmac_token_of_the_project_is_good(
    bare_database_url: str, issuer: Issuer
) -> None:
    settings = guarded_settings(bare_database_url, issuer.url).model_copy(update={"supabase_jwt_secret": None})
    async with served(settings) as api:
        for secret in (SHARED_SECRET.encode(), PUBLIC_PEM, b""):
            token = resigned({"alg": "HS256", "kid": RSA.id}, issuer.claims(), secret)
            answer = await api.http.get("/tickets", headers={"Authorization": f"Bearer {token}"})
            assert_problem(answer, 401, "unauthenticated")
        good = {"Authorization": f"Bearer {RSA.sign(issuer.claims(app_metadata={'role': 'agent'}))}"}
        assert (await api.http.get("/tickets", headers=good)).status_code == 200


async def test_an_own_token_is_its_holder_in_any_case_of_the_scheme(guarded: Api) -> None:
    token = bearer(Role.AGENT, "mia")["Authorization"].removeprefix("Bearer ")
    assert await subject_of(guarded, token) == "agent:mia"
    for scheme in ("bearer", "BEARER", "Bearer "):
        answer: httpx.Response = await guarded.http.get("/tickets", headers={"Authorization": f"{scheme} {token}"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/tickets", Scope.INTAKE),
        ("POST", "/tickets/batch", Scope.INTAKE),
        ("GET", "/tickets", Scope.READ),
        ("GET", "/stats", Scope.READ),
        ("GET", "/metrics", Scope.METRICS),
        ("POST", "/tickets/00000000-0000-0000-0000-000000000000/pause", Scope.WRITE),
        ("POST", "/dead-letters/redrive", Scope.WRITE),
    ],
)
async def test_a_token_is_good_for_its_scopes_alone(guarded: Api, method: str, path: str, scope: Scope) -> None:
    for held in Scope:
        answer = await guarded.http.request(method, path, json={}, headers=bearer(Role.ADMIN, scopes={held}))
        if held is scope:
            assert answer.status_code not in (401, 403), answer.text
        else:
            assert str(scope) in assert_problem(answer, 403, "scope")["detail"]
