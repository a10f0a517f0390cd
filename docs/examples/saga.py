"""A saga: an order is paid, then taken from the shelf; if there is nothing left, the money goes back.

Services know each other by events alone, on one stream with interest retention: an event is kept
until every service that listens for it has acknowledged it, and is gone then. Each service has a
durable consumer, so it takes up where it was when it comes back. Each event has an id made of the
order's, so that a service which does a step twice tells the others only once.

    placed -> payments  -> paid -> inventory -> shipped
                |                      |
                v                      v
             refused               sold_out -> payments -> refunded

The stream has one copy (`num_replicas: 1`). With three servers and `num_replicas: 3` the same
program survives the loss of a server; Midge has no cluster yet and refuses that with 10074.

    pip install nats-py
    python saga.py nats://127.0.0.1:4222
"""

import asyncio
import json
import sys

import nats
from nats.errors import TimeoutError as Nothing
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig

FINAL = ["orders.*.refused", "orders.*.shipped", "orders.*.refunded"]


class Service:
    """Takes the events it wants one by one; what it makes of one is published before it is
    acknowledged, so nothing is lost between the two."""

    wants: list[str] = []

    def __init__(self, connection):
        self.stream = connection.jetstream()

    async def start(self):
        name = type(self).__name__.lower()
        config = ConsumerConfig(
            durable_name=name,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=2,
            filter_subjects=self.wants,
        )
        await self.stream.add_consumer("ORDERS", config)
        self.events = await self.stream.pull_subscribe_bind(name, stream="ORDERS")

    async def run(self):
        while True:
            try:
                batch = await self.events.fetch(10, timeout=0.5)
            except Nothing:
                continue
            for event in batch:
                order = json.loads(event.data)
                outcome = self.handle(event.subject.split(".")[2], order)
                if outcome:
                    await tell(self.stream, outcome, order)
                await event.ack_sync()

    def handle(self, event: str, order: dict) -> str | None:
        raise NotImplementedError


class Payments(Service):
    wants = ["orders.*.placed", "orders.*.sold_out"]

    def __init__(self, connection, accounts: dict[str, int]):
        super().__init__(connection)
        self.accounts = accounts
        self.charged: set[str] = set()

    def handle(self, event, order):
        customer, amount = order["customer"], order["amount"]
        if event == "placed":
            # Done once, though the event may come twice.
            if order["id"] not in self.charged:
                if self.accounts[customer] < amount:
                    return "refused"
                self.accounts[customer] -= amount
                self.charged.add(order["id"])
            return "paid"
        if order["id"] in self.charged:
            self.charged.remove(order["id"])
            self.accounts[customer] += amount
        return "refunded"


class Inventory(Service):
    wants = ["orders.*.paid"]

    def __init__(self, connection, shelf: dict[str, int]):
        super().__init__(connection)
        self.shelf = shelf
        self.taken: set[str] = set()

    def handle(self, event, order):
        if order["id"] not in self.taken:
            if self.shelf[order["item"]] == 0:
                return "sold_out"
            self.shelf[order["item"]] -= 1
            self.taken.add(order["id"])
        return "shipped"


class Orders(Service):
    """Knows how each order ended."""

    wants = FINAL

    def __init__(self, connection, count: int):
        super().__init__(connection)
        self.count = count
        self.ended: dict[str, str] = {}
        self.all_ended = asyncio.Event()

    def handle(self, event, order):
        self.ended[order["id"]] = event
        if len(self.ended) == self.count:
            self.all_ended.set()
        return None


async def tell(stream, event: str, order: dict):
    subject = f"orders.{order['id']}.{event}"
    headers = {"Nats-Msg-Id": f"{order['id']}-{event}"}
    await stream.publish(subject, json.dumps(order).encode(), headers=headers)


async def main(url: str):
    connection = await nats.connect(url)
    stream = connection.jetstream()
    await stream.add_stream(
        StreamConfig(
            name="ORDERS",
            subjects=["orders.*.*"],
            retention=RetentionPolicy.INTEREST,
            num_replicas=1,
        )
    )
    placed = [
        {"id": "1", "customer": "anna", "item": "lamp", "amount": 40},
        {"id": "2", "customer": "bert", "item": "lamp", "amount": 40},
        {"id": "3", "customer": "cleo", "item": "lamp", "amount": 40},
    ]
    accounts, shelf = {"anna": 100, "bert": 10, "cleo": 50}, {"lamp": 1}
    orders = Orders(connection, len(placed))
    services = [Payments(connection, accounts), Inventory(connection, shelf), orders]
    for service in services:
        await service.start()
    tasks = [asyncio.create_task(service.run()) for service in services]
    for order in placed:
        await tell(stream, "placed", order)
        await tell(stream, "placed", order)  # a client that is not sure: counted once

    await asyncio.wait_for(orders.all_ended.wait(), 20)
    print(f"orders ended as {orders.ended}")
    assert orders.ended == {"1": "shipped", "2": "refused", "3": "refunded"}
    assert accounts == {"anna": 60, "bert": 10, "cleo": 50}, accounts
    assert shelf == {"lamp": 0}

    # Every event was acknowledged by all who wanted it.
    for _ in range(100):
        if (await stream.stream_info("ORDERS")).state.messages == 0:
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("events are left")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await stream.delete_stream("ORDERS")
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
