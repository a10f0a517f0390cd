"""Goal: the Python client works, unmodified.
Method: what its users do most, against the broker at the URL given."""

import asyncio
import sys

import nats
from nats.errors import NoRespondersError

LIMIT = 20


async def settle(client):
    """Waits until the broker has taken all that the client sent so far. The
    client's flush() may let its PING overtake what is still pending; a request
    that nobody answers keeps its place."""
    try:
        await client.request("nobody.is.here", b"", timeout=LIMIT)
    except NoRespondersError:
        return
    raise AssertionError("somebody is there")


async def publishes_and_subscribes(connect):
    one, two = await connect(), await connect()
    subscription = await one.subscribe("a.*")
    await settle(one)
    for number in range(1000):
        await two.publish(f"a.{number}", str(number).encode())
    await two.flush()
    for number in range(1000):
        message = await subscription.next_msg(timeout=LIMIT)
        assert (message.subject, message.data) == (f"a.{number}", str(number).encode())


async def requests_and_replies(connect):
    one, two = await connect(), await connect()

    async def answer(message):
        await message.respond(message.data.upper())

    await one.subscribe("svc", cb=answer)
    await settle(one)
    for number in range(200):
        reply = await two.request("svc", f"r{number}".encode(), timeout=LIMIT)
        assert reply.data == f"R{number}".encode()


async def hears_that_nobody_responds(connect):
    client = await connect()
    try:
        await client.request("nobody", b"", timeout=LIMIT)
    except NoRespondersError:
        return
    raise AssertionError("no error")


async def shares_work_in_a_queue_group(connect):
    seen, counts, done = [], [0, 0, 0], asyncio.Event()

    def member(index):
        async def take(message):
            counts[index] += 1
            seen.append(int(message.data))
            if len(seen) >= 300:
                done.set()

        return take

    for index in range(3):
        client = await connect()
        await client.subscribe("work", queue="q", cb=member(index))
        await settle(client)
    publisher = await connect()
    for number in range(300):
        await publisher.publish("work", str(number).encode())
    await publisher.flush()
    await asyncio.wait_for(done.wait(), LIMIT)
    assert sorted(seen) == list(range(300)), len(seen)
    assert min(counts) > 40, counts


async def sends_headers(connect):
    client = await connect()
    subscription = await client.subscribe("h")
    await client.publish("h", b"x", headers={"One": "1", "Two": "zwei"})
    message = await subscription.next_msg(timeout=LIMIT)
    assert message.headers == {"One": "1", "Two": "zwei"}, message.headers
    assert message.data == b"x"


async def moves_large_payloads(connect):
    one, two = await connect(), await connect()
    subscription = await one.subscribe("large")
    await settle(one)
    for size in (0, 65536, 262145, 1048576):
        payload = bytes(index % 251 for index in range(size))
        await two.publish("large", payload)
        await two.flush()
        message = await subscription.next_msg(timeout=LIMIT)
        assert message.data == payload, size


async def unsubscribes_after_a_number_of_messages(connect):
    client = await connect()
    got = []

    async def take(message):
        got.append(message)

    subscription = await client.subscribe("few", cb=take)
    await subscription.unsubscribe(limit=3)
    for _ in range(10):
        await client.publish("few")
    await settle(client)
    await client.drain()
    assert len(got) == 3, len(got)


async def drains_without_loss(connect):
    publisher = await connect()
    for _ in range(20):
        client = await connect()
        got = []

        async def take(message):
            got.append(message)

        await client.subscribe("d", cb=take)
        last = await client.subscribe("last")
        await settle(client)
        for _ in range(100):
            await publisher.publish("d", b"x")
        await publisher.publish("last", b"")
        await last.next_msg(timeout=LIMIT)
        await client.drain()
        assert len(got) == 100, len(got)


async def main(url):
    for step in (
        publishes_and_subscribes,
        requests_and_replies,
        hears_that_nobody_responds,
        shares_work_in_a_queue_group,
        sends_headers,
        moves_large_payloads,
        unsubscribes_after_a_number_of_messages,
        drains_without_loss,
    ):
        clients = []

        async def connect():
            clients.append(await nats.connect(url, allow_reconnect=False))
            return clients[-1]

        await asyncio.wait_for(step(connect), 60)
        for client in clients:
            if not client.is_closed:
                await client.close()
        print(f"ok {step.__name__}", flush=True)


asyncio.run(main(sys.argv[1]))
