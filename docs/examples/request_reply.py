"""A service and its callers: requests, replies, several instances, and nobody there.

    pip install nats-py
    python request_reply.py nats://127.0.0.1:4222
"""

import asyncio
import sys

import nats
from nats.errors import NoRespondersError

PRICES = {"apple": 30, "pear": 45, "plum": 12}


async def serve(url: str, instance: int, served: list[int]):
    """One instance of the service. Those of one queue group share the requests."""
    connection = await nats.connect(url)

    async def answer(request):
        served[instance] += 1
        name = request.data.decode()
        if name in PRICES:
            await request.respond(str(PRICES[name]).encode())
        else:
            await connection.publish(request.reply, b"", headers={"Error": f"no {name} here"})

    await connection.subscribe("prices.get", queue="prices", cb=answer)
    # When this returns, the server knows of the subscription.
    await connection.flush()
    return connection


async def price_of(connection, name: str) -> int:
    reply = await connection.request("prices.get", name.encode(), timeout=5)
    if reply.headers and "Error" in reply.headers:
        raise LookupError(reply.headers["Error"])
    return int(reply.data)


async def main(url: str):
    served = [0, 0, 0]
    instances = [await serve(url, instance, served) for instance in range(3)]
    caller = await nats.connect(url)

    prices = await asyncio.gather(*[price_of(caller, name) for name in list(PRICES) * 20])
    assert prices == list(PRICES.values()) * 20
    assert sum(served) == 60
    print(f"60 requests were shared out as {served}")

    try:
        await price_of(caller, "melon")
        raise AssertionError("there are no melons")
    except LookupError as error:
        print(f"refused, as it should be: {error}")

    # An instance that drains answers what it has taken; the others go on.
    await instances[0].drain()
    assert await price_of(caller, "pear") == 45
    for instance in instances[1:]:
        await instance.drain()
    try:
        await price_of(caller, "pear")
        raise AssertionError("nobody is left")
    except NoRespondersError:
        print("nobody is left, which a caller is told at once")
    await caller.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
