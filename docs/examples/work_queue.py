"""A work queue with three workers: every job is done, also those of a worker that dies.

Jobs are messages of a stream with work queue retention: each is kept until one worker has
acknowledged it, and is gone then. A worker that dies says nothing, so its job comes again, to
another one, once the time for an acknowledgement is over.

    pip install nats-py
    python work_queue.py nats://127.0.0.1:4222
"""

import asyncio
import sys

import nats
from nats.errors import TimeoutError as Nothing
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig

JOBS = 60


async def work(url: str, name: str, done: dict[int, str], dies_after: int | None):
    connection = await nats.connect(url)
    stream = connection.jetstream()
    # All workers share one durable consumer: the server hands each job to one of them.
    subscription = await stream.pull_subscribe_bind("workers", stream="JOBS")
    taken = 0
    while len(done) < JOBS:
        try:
            (job,) = await subscription.fetch(1, timeout=0.2)
        except Nothing:
            continue
        taken += 1
        if taken == dies_after:
            print(f"{name} dies with job {job.data.decode()} in its hands")
            break
        number = int(job.data)
        if number % 10 == 3 and job.metadata.num_delivered == 1:
            # Not possible now: again in a while.
            await job.nak(delay=0.1)
            continue
        # The effect first, then the acknowledgement, and wait until that is on disk. Between the
        # two the worker may die, so the effect must bear being done twice.
        done.setdefault(number, name)
        await job.ack_sync()
    await connection.close()


async def main(url: str):
    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(
        StreamConfig(name="JOBS", subjects=["jobs.>"], retention=RetentionPolicy.WORK_QUEUE)
    )
    await stream.add_consumer(
        "JOBS",
        ConsumerConfig(
            durable_name="workers", ack_policy=AckPolicy.EXPLICIT, ack_wait=1, max_deliver=5
        ),
    )
    for number in range(JOBS):
        # With an id, a publisher may send again what it has no answer to: it is stored once.
        headers = {"Nats-Msg-Id": f"job-{number}"}
        await stream.publish("jobs.print", str(number).encode(), headers=headers)
    again = await stream.publish("jobs.print", b"7", headers={"Nats-Msg-Id": "job-7"})
    assert again.duplicate

    done: dict[int, str] = {}
    workers = [("anna", None), ("bert", 5), ("cleo", None)]
    await asyncio.gather(*[work(url, name, done, dies_after) for name, dies_after in workers])
    assert sorted(done) == list(range(JOBS))
    shares = {name: list(done.values()).count(name) for name, _ in workers}
    print(f"{JOBS} jobs are done: {shares}")

    left = (await stream.stream_info("JOBS")).state.messages
    assert left == 0, f"{left} jobs are left"
    await stream.delete_stream("JOBS")
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
