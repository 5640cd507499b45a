"""`topics` on a real cluster: the table, the exit codes, what is done once and not twice; and on the embedded log,
where it has nothing to do.
"""

import asyncio
import secrets

import pytest

from streams.log.kafka import provision
from streams.log.kafka.access import Access
from streams.log.kafka.admin import Admin
from streams.log.topics import Topics
from streams.settings import Kafka

SETTINGS = """\
log = "{url}"
store = "postgresql://nobody@127.0.0.1:1/none"
partitions = 2
topic_prefix = "{prefix}"

[kafka]
replication = 1
min_insync = 1
"""


@pytest.fixture
def prefix():
    return f"t-{secrets.token_hex(5)}-"


@pytest.fixture
def on_kafka(installation, kafka_url, prefix):
    installation.config.write_text(SETTINGS.format(url=kafka_url, prefix=prefix))
    return installation


def lines(result):
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_on_the_embedded_log_there_is_nothing_to_do(installation):
    for command in ("plan", "apply", "check"):
        assert (
            installation.cli("topics", command).stdout
            == "The embedded log makes its topics by itself: there is nothing to do.\n"
        )
        assert installation.json("topics", command) == {"embedded": True}


def test_what_is_missing_is_shown_made_and_then_as_it_should_be(on_kafka, prefix, kafka_url):
    planned = on_kafka.cli("topics", "plan")
    assert lines(planned)[0].startswith(kafka_url)
    assert f"{prefix}events 2 1 for ever missing" in lines(planned)
    assert f"{prefix}deliveries.zoho 2 1 3660 days missing" in lines(planned)
    assert f"{prefix}control 1 1 for ever missing" in lines(planned)
    assert lines(planned)[-1] == "Next: `zoho-gocardless topics apply`."
    assert on_kafka.json("topics", "check", code=1)["complete"] is False

    made = lines(on_kafka.cli("topics", "apply"))
    assert sorted(made) == sorted([*(f"Made {prefix}{name}." for name in NAMES), "The log is open."])
    assert on_kafka.cli("topics", "apply").stdout == "Nothing to do.\n"
    again = on_kafka.json("topics", "apply")
    assert (again["made"], again["changed"], again["opened"]) == ([], [], False)

    checked = on_kafka.cli("topics", "check")
    assert f"{prefix}events 2 1 for ever as it should be" in lines(checked)
    assert lines(checked)[-1] == "Nothing to do."


NAMES = [spec.name for spec in provision.all_specs(Topics())]


def test_what_differs_is_shown_with_both_values_and_set(on_kafka, prefix, kafka_url):
    on_kafka.cli("topics", "apply")
    name = f"{prefix}events"

    async def change():
        async with Admin(Access.from_url(kafka_url, Kafka())) as admin:
            await admin.alter({name: {"retention.ms": "1000"}})
            await admin.known({name: {"retention.ms": "1000"}})

    asyncio.run(change())
    checked = lines(on_kafka.cli("topics", "check", code=1))
    assert f"{name} 2 1 for ever differs" in checked
    assert f"{name} retention.ms 1000 -1" in checked
    expected = {"topic": name, "setting": "retention.ms", "present": "1000", "wanted": "-1"}
    assert on_kafka.json("topics", "plan")["differences"] == [expected]
    assert on_kafka.cli("topics", "apply").stdout == f"Set retention.ms of {name}: 1000 is now -1.\n"
    on_kafka.cli("topics", "check")


def test_a_contradiction_is_shown_and_refused_with_the_code_of_a_setting(on_kafka, prefix):
    on_kafka.cli("topics", "apply")
    on_kafka.config.write_text(on_kafka.config.read_text().replace("partitions = 2", "partitions = 3"))
    planned = lines(on_kafka.cli("topics", "plan"))
    assert f"{prefix}events 3 1 for ever contradicts the settings" in planned
    assert f"{prefix}events: it has 2 partitions and the settings say 3" in planned
    assert planned[-1] == "Nothing can be applied before a person has dealt with that."
    assert len(on_kafka.json("topics", "check", code=1)["contradictions"]) == 7

    error = on_kafka.json("topics", "apply", code=3)
    assert (error["code"], error["retriable"]) == ("topic_mismatch", False)
    assert "set partitions = 2" in error["remedy"]


def test_a_setting_that_cannot_be_is_one_line_without_the_secret(on_kafka):
    on_kafka.config.write_text(
        on_kafka.config.read_text() + 'sasl = "SCRAM-SHA-256"\nusername = "u"\npassword = "hunter2"\n'
    )
    error = on_kafka.json("topics", "plan", code=3)
    assert (error["code"], error["where"]) == ("settings", "kafka.password")
    assert "hunter2" not in str(error)


def test_a_password_in_the_address_is_refused_without_it(on_kafka, kafka_url):
    text = on_kafka.config.read_text()
    on_kafka.config.write_text(text.replace(kafka_url, kafka_url.replace("kafka://", "kafka://me:hunter2@")))
    error = on_kafka.json("topics", "plan", code=3)
    assert "set sasl, username and password in [kafka]" in str(error)
    assert "hunter2" not in str(error)
