"""Feature flags: every instance of a service has them at hand, and sees a change at once.

Flags live in a key-value bucket. An instance watches the bucket: it is first told every value there
is, then every change. Whoever changes a flag says which revision it has seen, so that two people
cannot overwrite each other.

    pip install nats-py
    python feature_flags.py nats://127.0.0.1:4222
"""

import asyncio
import sys

import nats
from nats.js.api import KeyValueConfig
from nats.js.errors import KeyWrongLastSequenceError


class Flags:
    """The flags, as this instance knows them."""

    def __init__(self):
        self.values: dict[str, str] = {}
        self.changed = asyncio.Condition()

    async def follow(self, bucket):
        """Returns once all values are known; goes on in the background."""
        watcher = await bucket.watchall()
        known = asyncio.Event()

        async def take():
            async for entry in watcher:
                if entry is None:  # no more values that were there before
                    known.set()
                    continue
                async with self.changed:
                    if entry.operation in ("DEL", "PURGE"):
                        self.values.pop(entry.key, None)
                    else:
                        self.values[entry.key] = entry.value.decode()
                    self.changed.notify_all()

        self.task = asyncio.create_task(take())
        await asyncio.wait_for(known.wait(), 10)

    def is_on(self, name: str) -> bool:
        return self.values.get(name) == "on"

    async def until(self, condition):
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), 10)


async def main(url: str):
    admin = await nats.connect(url)
    bucket = await admin.jetstream().create_key_value(KeyValueConfig(bucket="flags", history=5))
    await bucket.put("checkout.new", b"off")
    await bucket.put("search.fast", b"on")

    connection = await nats.connect(url)
    flags = Flags()
    await flags.follow(await connection.jetstream().key_value("flags"))
    assert flags.is_on("search.fast") and not flags.is_on("checkout.new")

    seen = await bucket.get("checkout.new")
    await bucket.update("checkout.new", b"on", last=seen.revision)
    await flags.until(lambda: flags.is_on("checkout.new"))
    print("the new checkout is on everywhere")

    try:
        # Somebody who still looks at the old value.
        await bucket.update("checkout.new", b"off", last=seen.revision)
        raise AssertionError("it has changed since")
    except KeyWrongLastSequenceError as error:
        print(f"refused, as it should be: {error.description}")

    await bucket.delete("search.fast")
    await flags.until(lambda: "search.fast" not in flags.values)
    history = [entry.value.decode() for entry in await bucket.history("checkout.new")]
    assert history == ["off", "on"]
    print(f"the new checkout was {history}")

    flags.task.cancel()
    await admin.jetstream().delete_key_value("flags")
    await connection.close()
    await admin.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
