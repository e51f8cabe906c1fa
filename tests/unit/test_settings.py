"""Configuration: one clear line for whatever is wrong, and no secret in any of them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from ticketflow.settings import Settings, SettingsError, load, variable_names

SECRET = "hunter2-very-secret"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty environment and an empty working directory."""
    for name in list(os.environ):
        if name in variable_names() or name.startswith("TICKETFLOW_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load()
    message = str(refused.value)
    assert "\n" not in message
    assert SECRET not in message
    assert refused.value.__cause__ is None
    return message


def test_names_that_others_use_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEST_DATABASE_URL", "OPENAI_ORG_ID", "OPENAI_API_VERSION", "SUPABASE_ANON_KEY", "OPENAI_MODEL_NAME"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("DATABASE_URL", "postgresql:///here")
    monkeypatch.setenv("DATABASE_URLS", "the intended one is set, so this is no slip")
    load()


def test_nothing_set_is_the_laptop() -> None:
    settings = load()
    assert settings.database_url is None
    assert settings.rabbitmq_url is None
    assert settings.model_label is None
    assert (settings.host, settings.port, settings.allow_anonymous) == ("127.0.0.1", 8000, False)
    assert settings.data_dir.name == "ticketflow"


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "RABBITMQ_URL", "OPENAI_API_KEY", "OPENAI_MODEL", "TICKETFLOW_PORT", "SUPABASE_URL"):
        monkeypatch.setenv(name, "")
    assert load() == Settings(_env_file=None)


def test_everything_may_be_said_in_the_environment_or_in_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(
        "# comment\nexport TICKETFLOW_PORT=8100\nOPENAI_API_KEY='k'\nTICKETFLOW_HOST=::1\n\nUNRELATED=1\n"
    )
    monkeypatch.setenv("TICKETFLOW_PORT", "8200")
    monkeypatch.setenv("TICKETFLOW_LEASE_SECONDS", "2.5")
    settings = load(host="127.0.0.2")
    assert (settings.port, settings.host, settings.lease_ttl.total_seconds()) == (8200, "127.0.0.2", 2.5)
    assert settings.model_label == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("one", "value", "other"),
    [
        ("SUPABASE_URL", "https://x.supabase.co", "SUPABASE_KEY"),
        ("SUPABASE_KEY", SECRET, "SUPABASE_URL"),
        ("TICKETFLOW_PRICE_INPUT_PER_MILLION", "1", "TICKETFLOW_PRICE_OUTPUT_PER_MILLION"),
        ("TICKETFLOW_PRICE_OUTPUT_PER_MILLION", "0", "TICKETFLOW_PRICE_INPUT_PER_MILLION"),
        ("OPENAI_MODEL", "gpt-4o", "OPENAI_API_KEY"),
        ("SUPABASE_JWT_SECRET", SECRET * 2, "SUPABASE_URL"),
    ],
)
def test_a_half_set_pair_names_both_halves(monkeypatch: pytest.MonkeyPatch, one: str, value: str, other: str) -> None:
    message = refusal(monkeypatch, **{one: value})
    assert one in message
    assert other in message


def test_supabase_needs_no_connection_string(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SUPABASE_URL": "https://x.supabase.co", "SUPABASE_KEY": SECRET}.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert (settings.supabase_url, settings.database_url, settings.embedded) == ("https://x.supabase.co", None, False)


def test_a_line_break_at_the_end_belongs_to_the_file_and_not_to_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "https://x.supabase.co\n")
    monkeypatch.setenv("SUPABASE_KEY", f" {SECRET}\r\n")
    monkeypatch.setenv("SUPABASE_JWT_SECRET", f"{SECRET * 2}\n")
    settings = load()
    assert settings.supabase_url == "https://x.supabase.co"
    assert settings.secrets() == [SECRET, SECRET * 2]


def test_a_blank_address_or_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # Taken for an address it would be one without a host, and access would be without tokens.
    assert "SUPABASE_URL is not" in refusal(monkeypatch, SUPABASE_URL=" ", SUPABASE_KEY=SECRET)
    monkeypatch.setenv("SUPABASE_KEY", "\n")
    assert load().embedded


def test_a_key_under_the_name_of_supabases_guides_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", SECRET)
    line = refusal(monkeypatch, SUPABASE_URL="https://x.supabase.co")
    assert line.endswith("SUPABASE_KEY is not: set both or neither; is it the value of SUPABASE_SERVICE_ROLE_KEY?")


def test_address_and_key_that_are_swapped_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(monkeypatch, SUPABASE_URL=SECRET, SUPABASE_KEY="https://x.supabase.co")
    assert line == "SUPABASE_KEY is an address: are SUPABASE_URL and SUPABASE_KEY swapped?"


REF, OTHER_REF = "abcdefghijklmnopqrst", "zyxwvutsrqponmlkjihg"


@pytest.mark.parametrize(
    "place", ["postgres:pw@db.{}.supabase.co:5432", "postgres.{}:pw@aws-0-eu-central-1.pooler.supabase.com:6543"]
)
def test_a_database_of_another_project_is_refused(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    project = {"SUPABASE_URL": f"https://{REF}.supabase.co", "SUPABASE_KEY": SECRET}
    line = refusal(monkeypatch, **project, DATABASE_URL=f"postgresql://{place.format(OTHER_REF)}/postgres")
    assert line == "DATABASE_URL and SUPABASE_URL are of two different Supabase projects"
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{place.format(REF)}/postgres")
    assert load().database_url is not None


def test_a_byte_order_mark_before_the_first_name_is_no_part_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("TICKETFLOW_PORT=8123\n", encoding="utf-8-sig")
    monkeypatch.chdir(tmp_path)
    assert load().port == 8123


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("x.supabase.co", "must begin with http:// or https://"),
        ("postgresql://db.x.supabase.co/postgres", "must begin with http:// or https://"),
        ("https://", "names no host"),
        ("https://x.supabase.co:99999", "cannot be one"),
        ("https://[x", "cannot be one"),
        ("https://supabase.com/dashboard/project/abcdefghijklmnopqrst", "the address of the dashboard"),
        ("https://db.x.supabase.co", "the address of the database, which belongs into DATABASE_URL"),
        ("https://x.supabase.co/rest/v1/", "more than the project's address"),
        ("https://x.supabase.co/auth/v1", "more than the project's address"),
        ("https://me:s3cr3t@x.supabase.co", "more than the project's address"),
        ("https://x.supabase.co?apikey=s3cr3t", "more than the project's address"),
    ],
)
def test_what_is_no_projects_address_is_refused(monkeypatch: pytest.MonkeyPatch, url: str, said: str) -> None:
    line = refusal(monkeypatch, SUPABASE_URL=url, SUPABASE_KEY=SECRET)
    assert line.startswith("SUPABASE_URL ")
    assert said in line
    assert "s3cr3t" not in line


SUPABASE = {
    "SUPABASE_URL": "https://x.supabase.co",
    "SUPABASE_KEY": SECRET,
    "DATABASE_URL": "postgresql://x.supabase.co/postgres",
}


@pytest.mark.parametrize(
    "environment",
    [
        {"TICKETFLOW_TOKEN_SECRET": SECRET * 2},
        {"TICKETFLOW_TOKEN_SECRET_FILE": "secret"},
        SUPABASE,
        SUPABASE | {"SUPABASE_JWT_SECRET": SECRET * 2},
    ],
    ids=lambda environment: min(environment, key=len) + str(len(environment)),
)
def test_any_source_of_tokens_is_authentication_and_goes_with_no_anonymous_access(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    assert not load().authenticates
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert load().authenticates
    message = refusal(monkeypatch, TICKETFLOW_ALLOW_ANONYMOUS="true")
    assert "TICKETFLOW_ALLOW_ANONYMOUS" in message
    assert "TICKETFLOW_TOKEN_SECRET" in message


def test_there_is_one_secret_for_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, TICKETFLOW_TOKEN_SECRET=SECRET * 2, TICKETFLOW_TOKEN_SECRET_FILE="/run/secret")
    assert "TICKETFLOW_TOKEN_SECRET_FILE" in message


def test_the_address_of_supabase_is_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(monkeypatch, **SUPABASE | {"SUPABASE_URL": "x.supabase.co"}).startswith("SUPABASE_URL must begin")


def test_a_secret_that_could_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, **SUPABASE | {"SUPABASE_JWT_SECRET": SECRET})
    assert message.startswith("SUPABASE_JWT_SECRET is shorter than 32 bytes")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("TICKETFLOW_PROT", "did you mean TICKETFLOW_PORT?"),
        ("TICKETFLOW_WORKER_CONCURENCY", "did you mean TICKETFLOW_WORKER_CONCURRENCY?"),
        ("TICKETFLOW_DATABASE_URL", "TICKETFLOW_DATABASE_URL is set but is not a setting"),
        ("DATABSE_URL", "did you mean DATABASE_URL?"),
        ("RABBITMQ_ULR", "did you mean RABBITMQ_URL?"),
        ("OPENAI_BASE_UR", "did you mean OPENAI_BASE_URL?"),
        ("TICKETFLOW_ZZZZ", "TICKETFLOW_ZZZZ is set but is not a setting"),
    ],
)
@pytest.mark.parametrize("where", ["environment", "dotenv"])
def test_an_unknown_name_is_refused_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch, name: str, suggestion: str, where: str
) -> None:
    if where == "dotenv":
        Path(".env").write_text(f"export {name} = {SECRET}\n")
        assert suggestion in refusal(monkeypatch)
    else:
        assert suggestion in refusal(monkeypatch, **{name: SECRET})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TICKETFLOW_PORT", SECRET),
        ("TICKETFLOW_PORT", "65536"),
        ("TICKETFLOW_PORT", "-1"),
        ("TICKETFLOW_ALLOW_ANONYMOUS", "perhaps"),
        ("TICKETFLOW_LOG_LEVEL", "LOUD"),
        ("TICKETFLOW_LOG_FORMAT", "xml"),
        ("TICKETFLOW_LEASE_SECONDS", "0"),
        ("TICKETFLOW_LEASE_SECONDS", "nan"),
        ("TICKETFLOW_WORKER_CONCURRENCY", "1.5"),
        ("TICKETFLOW_DB_POOL_SIZE", "1"),
        ("TICKETFLOW_MAX_BODY_BYTES", "1e6"),
        ("TICKETFLOW_MODEL_TIMEOUT_SECONDS", "0"),
        ("TICKETFLOW_MODEL_CONCURRENCY", "0"),
        ("TICKETFLOW_MODEL_REQUESTS_PER_MINUTE", "0.5"),
        ("TICKETFLOW_BREAKER_FAILURES", "0"),
        ("TICKETFLOW_CUSTOMER_INTAKE_PER_MINUTE", "0"),
        ("TICKETFLOW_STAFF_INTAKE_PER_MINUTE", "0.5"),
        ("TICKETFLOW_TOKEN_SECRET", SECRET),
        ("TICKETFLOW_PRICE_INPUT_PER_MILLION", "-1"),
        ("TICKETFLOW_EXTRACT_FIELDS", "serial"),
        ("TICKETFLOW_EXTRACT_FIELDS", "serial no=what"),
        ("TICKETFLOW_EXTRACT_FIELDS", "serial="),
        ("DATABASE_URL", f"mysql://u:{SECRET}@db/"),
        ("DATABASE_URL", SECRET),
        ("RABBITMQ_URL", f"http://u:{SECRET}@mq/"),
        ("OPENAI_BASE_URL", f"ftp://u:{SECRET}@llm/"),
        *(
            (name, url.format(scheme=scheme, secret=SECRET))
            for name, scheme in (("DATABASE_URL", "postgresql"), ("RABBITMQ_URL", "amqp"))
            for url in (
                "{scheme}://u:{secret}@h:abc/",
                "{scheme}://u:{secret}@h:70000/",
                "{scheme}://u:{secret}@[::1",
                "{scheme}://u:{secret}@pw@h/",
                "{scheme}://u:pw@{secret}@h/",
                "{scheme}://u:x#{secret}@h/",
                "{scheme}://u:x/{secret}@h/",
                "{scheme}://u:x?{secret}@h/",
                "{scheme}://u:{secret}%zz@h/",
                "{scheme}://u:12/{secret}@h/",
            )
        ),
        ("RABBITMQ_URL", "amqp://"),
        ("RABBITMQ_URL", f"amqp://u:{SECRET}@/"),
        ("RABBITMQ_URL", f"amqp://u:{SECRET}@:5672/"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@one:5432,two:x/db"),
    ],
)
def test_a_wrong_value_names_its_variable_and_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert refusal(monkeypatch, **{name: value}).startswith(name)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql:///here"),
        ("DATABASE_URL", "postgresql://u:p%40ss%23w%25@db:5432/here?sslmode=require"),
        ("DATABASE_URL", "postgresql://u:a:b@one:5432,two:5433/here"),
        ("DATABASE_URL", "postgresql://postgres:@/postgres?host=/run/postgresql"),
        ("DATABASE_URL", "postgres://u@%2Frun%2Fpostgresql/here"),
        ("DATABASE_URL", "postgresql://u@[::1]:5432/here"),
        ("RABBITMQ_URL", "amqp://mq"),
        ("RABBITMQ_URL", "amqps://u:p%40ss@[::1]:5671/%2Fhost?cafile=/etc/ca.pem"),
    ],
)
def test_what_the_drivers_understand_is_let_be(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setenv(name, url)
    assert url in load().secrets()


def test_a_dotenv_that_is_no_text_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_bytes(b"TICKETFLOW_PORT=8100\nOPENAI_API_KEY=\xff\xfe\n")
    assert ".env" in refusal(monkeypatch)


def test_extra_fields_are_read_as_names_with_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKETFLOW_EXTRACT_FIELDS", " serial = the device's number ; room=where it stands; ")
    assert load().extract_fields == {"serial": "the device's number", "room": "where it stands"}


def test_secrets_show_in_no_form_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "DATABASE_URL": f"postgresql://u:{SECRET}@db/x",
        "RABBITMQ_URL": f"amqp://u:{SECRET}@mq/",
        "OPENAI_API_KEY": f"sk-{SECRET}",
        "SUPABASE_URL": "https://x.supabase.co",
        "SUPABASE_KEY": SECRET,
        "SUPABASE_JWT_SECRET": SECRET * 2,
        "TICKETFLOW_TOKEN_SECRET": SECRET * 2,
    }.items():
        monkeypatch.setenv(name, value)
    settings = load()
    for shown in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.__dict__}"):
        assert SECRET not in shown
    assert len(settings.secrets()) == 6
    assert all(SECRET in value for value in settings.secrets())
    # Its errors do not show them either, also where a later value is the wrong one.
    refusal(monkeypatch, TICKETFLOW_PORT="no")
    assert SECRET.encode() in pickle.dumps(settings), "the values themselves are there"


def test_every_variable_has_one_name() -> None:
    names = variable_names()
    assert len(names) == len(set(names)) == len(Settings.model_fields)
    assert {"DATABASE_URL", "RABBITMQ_URL", "OPENAI_API_KEY", "TICKETFLOW_HOST"} <= set(names)


def test_a_line_of_dotenv_that_cannot_be_read_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed over, it would leave the default: another database than the one that was meant."""
    Path(".env").write_text('TICKETFLOW_PORT=8100\nDATABASE_URL="postgresql://u:hunter2@h/d\n')
    refused = refusal(monkeypatch)
    assert ".env: line 2" in refused
    assert "hunter2" not in refused
