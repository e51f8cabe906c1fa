"""Deterministic ids: the same request names the same ticket, and no two different ones do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ticketflow.domain.ids import DEDUPE_WINDOW, fingerprint, identify, joined

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTS = st.lists(st.text(max_size=6) | st.sampled_from(['"', ",", '","', "[", "]", "\\", "\\u0000", ""]), max_size=4)
steady = settings(deadline=None, derandomize=True)
REQUESTS = st.tuples(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))


@steady
@given(PARTS, PARTS)
def test_two_different_sequences_are_never_joined_to_the_same_text(one: list[str], other: list[str]) -> None:
    assert (joined(one) == joined(other)) == (one == other)


@steady
@given(st.text(), st.text(), st.integers(0, 10))
def test_moving_a_character_from_one_part_to_the_next_is_another_text(left: str, right: str, moved: int) -> None:
    assume(moved and len(left) >= moved)
    assert joined([left, right]) != joined([left[:-moved], left[-moved:] + right])


@steady
@given(REQUESTS, REQUESTS, st.none() | st.text(max_size=3), st.none() | st.text(max_size=3))
def test_two_requests_have_one_id_exactly_when_they_are_the_same(
    one: tuple[str, str, str], other: tuple[str, str, str], key: str | None, other_key: str | None
) -> None:
    same_id = identify(*one, key, NOON).ticket_id == identify(*other, other_key, NOON + timedelta(seconds=1)).ticket_id
    if key is None and other_key is None:
        assert same_id == (one == other)
    else:
        assert same_id == ((one[0], key) == (other[0], other_key))


def test_a_key_never_means_a_text() -> None:
    texts = identify("c", "s", "b", None, NOON)
    assert identify("c", "s", "b", "content", NOON).ticket_id != texts.ticket_id
    assert identify("content", "c", "s", "b", NOON).ticket_id != texts.ticket_id


def test_with_a_key_the_id_holds_for_ever_and_needs_no_window() -> None:
    first = identify("c", "s", "b", "key", NOON)
    later = identify("c", "other", "text", "key", NOON + timedelta(days=4000))
    assert first == later
    assert first.window_key is None


def test_without_a_key_the_id_changes_with_the_window_and_the_window_key_does_not() -> None:
    window = timedelta(hours=1)
    within = [identify("c", "s", "b", None, NOON + timedelta(minutes=m), window) for m in (0, 30, 59)]
    after = identify("c", "s", "b", None, NOON + timedelta(minutes=60), window)
    assert len({identity.ticket_id for identity in within}) == 1
    assert after.ticket_id != within[0].ticket_id
    assert after.window_key == within[0].window_key is not None
    assert identify("c", "s", "B", None, NOON, window).window_key != after.window_key


def test_the_moment_counts_and_not_its_time_zone() -> None:
    abroad = NOON.astimezone(timezone(timedelta(hours=13)))
    assert identify("c", "s", "b", None, NOON) == identify("c", "s", "b", None, abroad)


def test_ids_are_version_5_uuids_and_stay_the_same_across_releases() -> None:
    keyed = identify("cus_1", "s", "b", "key-1", NOON).ticket_id
    text = identify("cus_1", "s", "b", None, NOON).ticket_id
    assert (keyed.version, text.version) == (5, 5)
    # Stored ids were made by this rule: another value here turns every repeated request into a new ticket.
    assert keyed == UUID("18e9772b-ce6a-59a6-b41c-5afd4ec24fc9")
    assert text == UUID("b81b3a37-7efd-5cd8-b7ea-b3e2d1274a67")
    assert timedelta(hours=24) == DEDUPE_WINDOW


@steady
@given(st.dictionaries(st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.text(max_size=4)))
def test_a_fingerprint_does_not_depend_on_the_order_of_the_fields(fields: dict[str, object]) -> None:
    assert fingerprint(fields) == fingerprint(dict(reversed(fields.items())))


def test_a_fingerprint_tells_every_difference() -> None:
    base: dict[str, object] = {"a": "1", "tags": ["x", "y"], "vip": False}
    variants = [
        base,
        base | {"a": 1},
        base | {"a": None},
        base | {"tags": ["y", "x"]},
        base | {"vip": True},
        base | {"b": None},
        {"a": "1", "tags": ["x", "y"]},
    ]
    assert len({fingerprint(variant) for variant in variants}) == len(variants)
