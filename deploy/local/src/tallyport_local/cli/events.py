"""``tallyport events tail | asyncapi`` and ``tallyport dead-letters list | show | replay``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer
from aiokafka import ConsumerRecord
from tallyport.settings import KafkaSettings

from tallyport_local.asyncapi import document
from tallyport_local.cli.root import DataOption, JsonOption, app, command, data_folder, new_app, new_table, out
from tallyport_local.errors import InvalidInputError
from tallyport_local.installation import Installation
from tallyport_local.publishing import publisher
from tallyport_local.reading import (
    DeadLetter,
    full_topic,
    moment,
    parse_place,
    pretty,
    read_all,
    read_one,
    tail,
    text_of,
)
from tallyport_local.topics import DEAD_LETTERS, load_topics

MAX_SHOWN_CHARACTERS: Final = 4000

events = new_app("Events: what travels on the topics.")
dead_letters = new_app("Dead letters: records that a service could not use, with the reason and the original bytes.")
app.add_typer(events, name="events")
app.add_typer(dead_letters, name="dead-letters")

PlaceArgument = Annotated[str, typer.Argument(help="TOPIC:PARTITION:OFFSET, as `dead-letters list` prints it.")]
TopicOption = Annotated[str | None, typer.Option("--topic", help="Only those of this topic.")]


@command(events, "asyncapi")
def asyncapi(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file, instead of the screen.")] = None,
    prefix: Annotated[str, typer.Option(help="What the topics' names begin with.")] = "tallyport.",
    server: Annotated[str, typer.Option(help="The broker, host:port.")] = "localhost:9092",
) -> None:
    """Write the AsyncAPI 3.0 document: each topic, who reads and writes it, and its data's schema. Needs no stack.

    Example: `tallyport events asyncapi -o asyncapi.json`
    """
    text = json.dumps(document(prefix, server), indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{output}: {error.strerror}") from error


@command(events, "tail")
async def tail_events(
    topic: Annotated[str, typer.Argument(help="The topic, with or without the prefix.")],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Everything that is kept first.")] = False,  # noqa: FBT002 - typer's way
    maximum: Annotated[int | None, typer.Option("--max", min=1, help="End after so many.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Do not cut long values.")] = False,  # noqa: FBT002 - typer's way
    data: DataOption = None,
) -> None:
    """Print events readably as they come, until Ctrl-C.

    Example: `tallyport events tail reports.ready --from-beginning --max 3`
    """
    settings = Installation(data_folder(data)).kafka
    name = full_topic(settings, topic)
    seen = 0
    async for record in tail(settings, name, from_beginning=from_beginning):
        _print_record(record, limit=10**9 if full else MAX_SHOWN_CHARACTERS)
        seen += 1
        if seen == maximum:
            return


def _print_record(record: ConsumerRecord[bytes, bytes], *, limit: int) -> None:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    place = f"{record.topic}:{record.partition}:{record.offset}"
    out.print(f"[bold]{moment(record.timestamp)}[/bold] {place}", end="  ")
    out.print(f"{headers.get('ce_type', 'no type')} from {headers.get('ce_source', '?')}", markup=False, style="cyan")
    correlation = headers.get("ce_correlationid")
    rest = f", correlation {correlation}" if correlation else ""
    out.print(f"  key {text_of(record.key)}, id {headers.get('ce_id', '?')}{rest}", markup=False, style="dim")
    out.print(pretty(record.value, limit=limit), markup=False)


def _dead_letter_topics(settings: KafkaSettings, topic: str | None) -> list[str]:
    if topic is None:
        return [settings.topic(one.name) for one in load_topics().broker_topics() if one.name.endswith(DEAD_LETTERS)]
    return [full_topic(settings, topic if topic.endswith(DEAD_LETTERS) else f"{topic}{DEAD_LETTERS}")]


@command(dead_letters, "list")
async def list_dead_letters(topic: TopicOption = None, data: DataOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - typer's way
    """List the dead letters that are kept.

    Example: `tallyport dead-letters list --topic usage.samples --json`
    """
    settings = Installation(data_folder(data)).kafka
    found = [DeadLetter.of(settings, one) async for one in read_all(settings, _dead_letter_topics(settings, topic))]
    if as_json:
        out.print_json(data=[letter.summary() for letter in found])
        return
    table = new_table("place", "from", "consumer", "at", "reason")
    for letter in found:
        origin = f"{letter.topic}:{letter.partition}:{letter.offset}"
        table.add_row(letter.place, origin, letter.consumer, letter.at, letter.reason.replace("[", r"\["))
    out.print(table if found else "no dead letters")


@command(dead_letters, "show")
async def show(place: PlaceArgument, data: DataOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - typer's way
    """Show one dead letter: why, where it stood, its headers and its original value."""
    settings = Installation(data_folder(data)).kafka
    where, offset = parse_place(settings, place)
    letter = DeadLetter.of(settings, await read_one(settings, where, offset))
    headers = {name: text_of(value) for name, value in letter.headers}
    if as_json:
        out.print_json(data=letter.summary() | {"headers": headers, "value": text_of(letter.value)})
        return
    out.print(letter.reason, markup=False, style="bold")
    out.print(f"{letter.topic} partition {letter.partition} offset {letter.offset}, {letter.consumer}, {letter.at}")
    for name, text in headers.items():
        out.print(f"  {name}: {text}", markup=False, style="dim")
    out.print(f"key {text_of(letter.key)}", markup=False)
    out.print(pretty(letter.value, limit=MAX_SHOWN_CHARACTERS), markup=False)


@command(dead_letters, "replay")
async def replay(
    place: Annotated[
        str | None, typer.Argument(help="TOPIC:PARTITION:OFFSET, as `dead-letters list` prints it.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are kept; needs --topic.")] = False,  # noqa: FBT002 - typer's way
    topic: TopicOption = None,
    data: DataOption = None,
) -> None:
    """Publish dead letters again on the topic they came from: the same key, bytes and headers.

    For when the cause is mended (a service that is newer, an object that exists now). A record that was applied
    meanwhile is a duplicate and changes nothing.

    Example: `tallyport dead-letters replay --all --topic usage.samples`
    """
    settings = Installation(data_folder(data)).kafka
    if (place is None) == (not every) or (every and topic is None):
        raise InvalidInputError("name one place, or say --all with --topic")
    if place is not None:
        where, offset = parse_place(settings, place)
        letters = [DeadLetter.of(settings, await read_one(settings, where, offset))]
    else:
        records = read_all(settings, _dead_letter_topics(settings, topic))
        letters = [DeadLetter.of(settings, record) async for record in records]
    async with publisher(settings, "") as sender:
        for letter in letters:
            full_topic(settings, letter.topic)
            await sender.send_raw(letter.topic, key=letter.key, value=letter.value, headers=letter.headers)
    out.print(f"{len(letters)} records published again")
