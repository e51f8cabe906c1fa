"""A Supabase project's REST endpoint over a real PostgreSQL: an API gateway, and PostgREST's protocol behind it.

A stand-in, since no PostgREST binary can be had where the tests run. What it imitates is cited in each module; what it
does not know it answers with 501. ``with rest_api(owner_url) as api`` in a test, ``python -m tests.support.postgrest``
for a Supabase project on a laptop.
"""

from tests.support.postgrest.server import RestApi, rest_api

__all__ = ["RestApi", "rest_api"]
