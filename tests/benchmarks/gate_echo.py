"""What a decision is held against: a consumer that gives every record back, with the same acknowledgements."""

from __future__ import annotations

import asyncio
import sys

from aiokafka import AIOKafkaConsumer
from tallyport.messaging.kafka import producer
from tallyport.settings import KafkaSettings


async def main(servers: str, prefix: str, source: str, target: str) -> None:
    """Give back until ended."""
    kafka = KafkaSettings(bootstrap_servers=servers, topic_prefix=prefix)
    async with (
        producer(kafka, "echo", linger_ms=0) as client,
        AIOKafkaConsumer(
            kafka.topic(source),
            bootstrap_servers=servers,
            group_id="echo",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        ) as consumer,
    ):
        while True:
            polled = await consumer.getmany(timeout_ms=500)
            records = [record for some in polled.values() for record in some]
            sent = [await client.send(kafka.topic(target), key=one.key, value=one.value) for one in records]
            await asyncio.gather(*sent)
            if records:
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
