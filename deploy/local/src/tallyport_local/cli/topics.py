"""``tallyport topics apply``."""

from __future__ import annotations

from tallyport_local.cli.root import DataOption, app, command, data_folder, new_app, out
from tallyport_local.installation import Installation
from tallyport_local.topics import apply_topics, load_topics

topics = new_app("Topics: the one list of them, on a broker.")
app.add_typer(topics, name="topics")


@command(topics, "apply")
async def apply(data: DataOption = None) -> None:
    """Create the topics that are missing and set the configuration of the others; nothing is ever deleted.

    The broker is that of the stack, or TALLYPORT_KAFKA__BOOTSTRAP_SERVERS.
    """
    created = await apply_topics(Installation(data_folder(data)).kafka, load_topics())
    out.print(f"{created} topics created")
