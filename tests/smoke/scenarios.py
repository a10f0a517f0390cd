"""Goal: the Python client gets through what happens to a broker in its life.
Method: brokers are started, killed and reloaded by whoever runs this script
(see stage.rs); the client is left to its own devices."""

import asyncio
import json
import sys

import nats
from nats.errors import NoRespondersError

LIMIT = 20


async def stage(do, name="one", **more):
    """Has something done to a broker."""
    print(json.dumps({"do": do, "name": name, **more}), flush=True)
    loop = asyncio.get_running_loop()
    return json.loads(await loop.run_in_executor(None, sys.stdin.readline))


class Watched:
    """A client and what it was told."""

    def __init__(self):
        self.errors = []
        self.disconnected = asyncio.Event()
        self.reconnected = asyncio.Event()
        self.closed = asyncio.Event()

    async def connect(self, *urls, **more):
        async def on_error(error):
            self.errors.append(str(error))

        async def on_disconnect():
            self.disconnected.set()

        async def on_reconnect():
            self.reconnected.set()

        async def on_close():
            self.closed.set()

        options = {
            "reconnect_time_wait": 0.05,
            "max_reconnect_attempts": -1,
            "error_cb": on_error,
            "disconnected_cb": on_disconnect,
            "reconnected_cb": on_reconnect,
            "closed_cb": on_close,
        }
        options.update(more)
        self.client = await nats.connect(list(urls), **options)
        return self.client


async def settle(client):
    """Waits until the broker has taken all that the client sent so far."""
    try:
        await client.request("nobody.is.here", b"", timeout=LIMIT)
    except NoRespondersError:
        return
    raise AssertionError("somebody is there")


async def until(event):
    await asyncio.wait_for(event.wait(), LIMIT)


async def subscriptions_come_back_after_a_crash():
    url = (await stage("start", config=""))["url"]
    one, two = Watched(), Watched()
    receiver, sender = await one.connect(url), await two.connect(url)
    subscription = await receiver.subscribe("a.*")
    got, enough = 0, asyncio.Event()

    async def work(_):
        nonlocal got
        got += 1
        if got % 100 == 0:
            enough.set()

    for _ in range(2):
        await receiver.subscribe("work", queue="q", cb=work)
    await settle(receiver)
    for _ in range(3):
        for watched in (one, two):
            watched.disconnected.clear()
            watched.reconnected.clear()
        await stage("restart")
        for watched in (one, two):
            await until(watched.reconnected)
        await settle(receiver)
        for number in range(100):
            await sender.publish(f"a.{number}", b"x")
            await sender.publish("work", b"y")
        for number in range(100):
            message = await subscription.next_msg(timeout=LIMIT)
            assert message.subject == f"a.{number}", message.subject
        await until(enough)
        enough.clear()
    await receiver.close()
    await sender.close()


async def what_is_sent_while_nobody_listens_arrives_later():
    url = (await stage("start", config=""))["url"]
    watched = Watched()
    client = await watched.connect(url)
    subscription = await client.subscribe("kept")
    await settle(client)
    await stage("stop")
    await until(watched.disconnected)
    for number in range(50):
        await client.publish("kept", str(number).encode())
    await stage("back")
    await until(watched.reconnected)
    for number in range(50):
        message = await subscription.next_msg(timeout=LIMIT)
        assert message.data == str(number).encode(), message.data
    await client.close()


async def a_member_that_drains_loses_nothing():
    url = (await stage("start", config=""))["url"]
    counts, done = [0, 0], asyncio.Event()
    members = []

    def handler(index):
        async def take(message):
            await asyncio.sleep(0.0005)
            counts[index] += 1
            if sum(counts) == 1000:
                done.set()

        return take

    for index in range(2):
        client = await Watched().connect(url)
        await client.subscribe("jobs", queue="q", cb=handler(index))
        await settle(client)
        members.append(client)
    sender = await Watched().connect(url)
    for number in range(1000):
        await sender.publish("jobs", str(number).encode())
        if number == 500:
            await sender.flush()
            leaving = asyncio.create_task(members[0].drain())
    await sender.flush()
    await asyncio.wait_for(leaving, LIMIT)
    assert members[0].is_closed
    await until(done)
    assert sum(counts) == 1000 and min(counts) > 0, counts
    await members[1].close()
    await sender.close()


def users(*entries):
    return "authorization { users: [ %s ] }" % ", ".join(entries)


async def users_change_while_they_are_connected():
    ann = '{user: ann, password: pw}'
    bob = '{user: bob, password: pw, permissions { publish: ">", subscribe: [%s, "_INBOX.>"] } }'
    eve = '{user: eve, password: pw}'
    url = (await stage("start", config=users(ann, bob % '"s", "t"', eve)))["url"]
    watched = {name: Watched() for name in ("ann", "bob", "eve")}
    clients = {}
    for name, watch in watched.items():
        more = {"allow_reconnect": False} if name == "eve" else {}
        clients[name] = await watch.connect(url, user=name, password="pw", **more)
    s = await clients["bob"].subscribe("s")
    await clients["bob"].subscribe("t")
    await settle(clients["bob"])
    fay = '{user: fay, password: pw}'
    await stage("reload", config=users(ann, bob % '"s"', fay))
    await until(watched["eve"].closed)
    for _ in range(2000):
        if watched["bob"].errors:
            break
        await asyncio.sleep(0.01)
    assert any("permissions violation" in error.lower() for error in watched["bob"].errors), watched["bob"].errors
    await clients["ann"].publish("s", b"still")
    assert (await s.next_msg(timeout=LIMIT)).data == b"still"
    assert not watched["ann"].disconnected.is_set() and not watched["bob"].disconnected.is_set()
    fay = await Watched().connect(url, user="fay", password="pw")
    await settle(fay)
    await fay.close()
    try:
        await nats.connect(url, user="eve", password="pw", allow_reconnect=False)
        raise AssertionError("eve is still a user")
    except nats.errors.Error:
        pass
    for name in ("ann", "bob"):
        await clients[name].close()


async def clients_leave_a_lame_duck_for_another_server():
    duck = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "100ms"'
    first = (await stage("start", config=duck))["url"]
    second = (await stage("start", name="two", config=""))["url"]
    watched = [Watched() for _ in range(3)]
    clients = [await watch.connect(first, second, dont_randomize=True) for watch in watched]
    subscription = await clients[0].subscribe("moved")
    await settle(clients[0])
    await stage("ldm")
    for watch in watched:
        await until(watch.reconnected)
    assert {client.connected_url.netloc for client in clients} == {second.removeprefix("nats://")}
    await settle(clients[0])
    await clients[2].publish("moved", b"x")
    assert (await subscription.next_msg(timeout=LIMIT)).data == b"x"
    await stage("gone")
    for client in clients:
        await client.close()


async def main():
    for step in (
        subscriptions_come_back_after_a_crash,
        what_is_sent_while_nobody_listens_arrives_later,
        a_member_that_drains_loses_nothing,
        users_change_while_they_are_connected,
        clients_leave_a_lame_duck_for_another_server,
    ):
        await asyncio.wait_for(step(), 90)
        print(f"ok {step.__name__}", flush=True)


asyncio.run(main())
