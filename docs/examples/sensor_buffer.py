"""A buffer for sensors: a small stream takes everything, a large one keeps what matters.

The buffer is bounded by number and age, and drops its oldest readings. The archive has it as a
source: the server copies the temperatures, under subjects of the archive's own, and says in a header
where each came from. The archive keeps them although the buffer lets go of them.

    pip install nats-py
    python sensor_buffer.py nats://127.0.0.1:4222
"""

import asyncio
import sys

import nats
from nats.js.api import StorageType, StreamConfig, StreamSource, SubjectTransform

READINGS = 200


async def main(url: str):
    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(
        StreamConfig(
            name="BUFFER",
            subjects=["sensors.*.*"],
            storage=StorageType.MEMORY,
            max_msgs=50,
            max_age=3600,
        )
    )
    transform = SubjectTransform(src="sensors.*.temperature", dest="archive.{{wildcard(1)}}")
    await stream.add_stream(
        StreamConfig(
            name="ARCHIVE",
            sources=[StreamSource(name="BUFFER", subject_transforms=[transform])],
        )
    )
    for number in range(READINGS):
        # At the pace of the archive: the buffer is small on purpose.
        sensor = number % 4
        await stream.publish(f"sensors.{sensor}.temperature", f"{20 + number % 7}".encode())
        await stream.publish(f"sensors.{sensor}.battery", b"full")
        if number % 20 == 19:
            await archived(stream, number + 1)

    buffer = (await stream.stream_info("BUFFER")).state
    archive = (await stream.stream_info("ARCHIVE")).state
    print(f"the buffer has {buffer.messages} readings, the archive {archive.messages}")
    assert buffer.messages == 50 and archive.messages == READINGS

    first = await stream.get_msg("ARCHIVE", seq=1)
    assert first.subject == "archive.0" and first.data == b"20"
    print(f"the first one came from: {first.headers['Nats-Stream-Source']}")
    latest = await stream.get_last_msg("ARCHIVE", "archive.3")
    assert latest.data == f"{20 + (READINGS - 1) % 7}".encode()

    for name in ("ARCHIVE", "BUFFER"):
        await stream.delete_stream(name)
    await connection.close()


async def archived(stream, count: int):
    """Waits until the archive has that many readings."""
    for _ in range(200):
        if (await stream.stream_info("ARCHIVE")).state.messages >= count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"the archive has no {count} readings")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
