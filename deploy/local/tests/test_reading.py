"""A dead letter is shown as it came, and found again by the place it is shown with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from tallyport.settings import KafkaSettings
from tallyport_local.errors import InvalidInputError
from tallyport_local.reading import DeadLetter, parse_place
from tallyport_local.topics import load_topics

SETTINGS = KafkaSettings(bootstrap_servers="127.0.0.1:1", topic_prefix="a:b.")
TOPICS = [topic.name for topic in load_topics().topics]
names = st.text(min_size=1, max_size=8).filter(lambda name: not name.startswith("dl_"))


def record(topic: str, partition: int, offset: int, **parts: Any) -> Any:
    named: dict[str, Any] = {"key": None, "value": None, "headers": (), **parts}
    return SimpleNamespace(topic=SETTINGS.topic(f"{topic}.dead-letters"), partition=partition, offset=offset, **named)


@given(st.sampled_from(TOPICS), st.integers(0, 999), st.integers(0, 2**63 - 1))
def test_the_place_that_is_printed_is_the_place_that_is_read(topic: str, partition: int, offset: int) -> None:
    letter = DeadLetter.of(SETTINGS, record(topic, partition, offset))
    assert parse_place(SETTINGS, letter.place) == (
        TopicPartition(SETTINGS.topic(f"{topic}.dead-letters"), partition),
        offset,
    )


@given(
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=20),
    st.lists(st.tuples(names, st.binary(max_size=9))),
)
def test_what_came_is_kept_apart_from_what_was_noted(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    noted = [("dl_reason", b"because"), ("dl_topic", b"usage.samples"), ("dl_partition", b"3"), ("dl_offset", b"7")]
    letter = DeadLetter.of(SETTINGS, record("usage.samples", 0, 1, key=key, value=value, headers=(*headers, *noted)))
    assert (letter.key, letter.value, list(letter.headers)) == (key, value, headers)
    assert (letter.reason, letter.topic, letter.partition, letter.offset) == ("because", "usage.samples", "3", "7")


@pytest.mark.parametrize(
    "text", ["", "usage.samples", "usage.samples:1", "usage.samples:-1:2", "usage.samples:1:x", "no.such.topic:0:0"]
)
def test_another_text_is_no_place(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_place(SETTINGS, text)
