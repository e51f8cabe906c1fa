"""Keys that cannot be the right one are told before anything is asked."""

from __future__ import annotations

from typing import Any

import jwt
import pytest

from ticketflow.db.project import check_key, in_clear_text
from ticketflow.db.supabase import connect
from ticketflow.domain.errors import ConfigurationError

REFERENCE = "abcdefghijklmnopqrst"
URL = f"https://{REFERENCE}.supabase.co"


def key(**claims: Any) -> str:
    return jwt.encode({"iss": "supabase", "ref": REFERENCE, "role": "service_role", **claims}, "x" * 32)


@pytest.mark.parametrize(
    "usable",
    [key(), key(exp=4_000_000_000), key(exp="soon"), key(ref=7), "sb_secret_abc", "a-self-hosted-gateways-own"],
)
def test_a_service_key_passes(usable: str) -> None:
    check_key(URL, usable)


def test_an_address_of_ones_own_has_no_reference_to_compare() -> None:
    check_key("https://tickets.example.com", key(ref="default"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (key(role="anon"), "is a key of the role anon"),
        (key(role="authenticated"), "is a key of the role authenticated"),
        ("sb_publishable_abc", "is the publishable key"),
        (key(ref="zyxwvutsrqponmlkjihg"), f"belongs to another project than SUPABASE_URL ({REFERENCE}.supabase.co)"),
        (key(exp=1_500_000_000), "has expired"),
        ("sb_secret_a\nb", "has characters that no key has"),
        ("sb_secret_a b", "has characters that no key has"),
        ("sb_secret_ä", "has characters that no key has"),
        ("'sb_secret_a'", "has characters that no key has"),
        ('"sb_secret_a"', "has characters that no key has"),
        ("sb_secret_abc...", "has characters that no key has"),
        ("sb_secret_••••", "has characters that no key has"),
    ],
)
def test_any_other_is_refused_in_one_line(wrong: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_key(URL, wrong)
    line = str(caught.value)
    assert line.startswith("SUPABASE_KEY ")
    assert said in line
    assert wrong not in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("url", "open_to_others"),
    [
        (URL, False),
        ("https://10.0.0.1", False),
        ("http://127.0.0.1:54321", False),
        ("http://[::1]:54321", False),
        ("http://localhost:54321", False),
        ("http://kong:8000", True),
        ("http://10.0.0.1", True),
    ],
)
def test_what_travels_in_clear_text_is_known(url: str, open_to_others: bool) -> None:
    assert in_clear_text(url) is open_to_others


@pytest.mark.parametrize("host", ["192.168.1.300", "xn--a.example.com", "a\x7f.example.com"])
async def test_a_host_that_cannot_be_one_is_refused_in_a_line(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^SUPABASE_URL has a host that cannot be one$"):
        await connect(f"https://{host}", "sb_secret_0123456789")
