// Goal: the JavaScript client works, unmodified.
// Method: what its users do most, against the broker at the URL given.

import assert from "node:assert/strict";
import { connect, headers, wsconnect } from "@nats-io/transport-node";

const LIMIT = 20_000;
const servers = process.argv[2];
const dial = servers.startsWith("ws") ? wsconnect : connect;

/** The next `count` messages of a subscription. */
async function take(subscription, count) {
  const messages = [];
  for await (const message of subscription) {
    messages.push(message);
    if (messages.length === count) break;
  }
  return messages;
}

const steps = {
  async publishesAndSubscribes(connect) {
    const [one, two] = [await connect(), await connect()];
    const subscription = one.subscribe("a.*");
    await one.flush();
    for (let number = 0; number < 1000; number++) two.publish(`a.${number}`, `${number}`);
    await two.flush();
    const messages = await take(subscription, 1000);
    messages.forEach((message, number) => {
      assert.equal(message.subject, `a.${number}`);
      assert.equal(message.string(), `${number}`);
    });
  },

  async requestsAndReplies(connect) {
    const [one, two] = [await connect(), await connect()];
    one.subscribe("svc", { callback: (_, message) => message.respond(message.data) });
    await one.flush();
    for (let number = 0; number < 200; number++) {
      const reply = await two.request("svc", `r${number}`, { timeout: LIMIT });
      assert.equal(reply.string(), `r${number}`);
    }
  },

  async hearsThatNobodyResponds(connect) {
    const client = await connect();
    await assert.rejects(client.request("nobody", "", { timeout: LIMIT }), (error) =>
      /no responders/i.test(`${error.message} ${error.name} ${error.cause?.message}`));
  },

  async sharesWorkInAQueueGroup(connect) {
    const counts = [0, 0, 0];
    const seen = [];
    let finish;
    const done = new Promise((resolve) => (finish = resolve));
    for (const index of counts.keys()) {
      const client = await connect();
      client.subscribe("work", {
        queue: "q",
        callback: (_, message) => {
          counts[index]++;
          if (seen.push(Number(message.string())) === 300) finish();
        },
      });
      await client.flush();
    }
    const publisher = await connect();
    for (let number = 0; number < 300; number++) publisher.publish("work", `${number}`);
    await publisher.flush();
    await done;
    assert.deepEqual(seen.sort((a, b) => a - b), [...Array(300).keys()]);
    assert.ok(Math.min(...counts) > 40, `${counts}`);
  },

  async sendsHeaders(connect) {
    const client = await connect();
    const subscription = client.subscribe("h");
    const block = headers();
    block.append("One", "1");
    block.append("Two", "2");
    block.append("Two", "zwei");
    client.publish("h", "x", { headers: block });
    const [message] = await take(subscription, 1);
    assert.equal(message.headers.get("One"), "1");
    assert.deepEqual(message.headers.values("Two"), ["2", "zwei"]);
    assert.equal(message.string(), "x");
  },

  async movesLargePayloads(connect) {
    const [one, two] = [await connect(), await connect()];
    for (const size of [0, 65_536, 262_145, 1_048_576]) {
      const subscription = one.subscribe("large", { max: 1 });
      await one.flush();
      const payload = Uint8Array.from({ length: size }, (_, index) => index % 251);
      two.publish("large", payload);
      const [message] = await take(subscription, 1);
      assert.ok(Buffer.from(message.data).equals(Buffer.from(payload)), `${size} bytes`);
    }
  },

  async unsubscribesAfterANumberOfMessages(connect) {
    const client = await connect();
    let got = 0;
    client.subscribe("few", { max: 3, callback: () => got++ });
    for (let number = 0; number < 10; number++) client.publish("few");
    await client.drain();
    assert.equal(got, 3);
  },

  async drainsWithoutLoss(connect) {
    const publisher = await connect();
    for (let round = 0; round < 20; round++) {
      const client = await connect();
      let got = 0;
      client.subscribe("d", { callback: () => got++ });
      await client.flush();
      for (let number = 0; number < 100; number++) publisher.publish("d", "x");
      await publisher.flush();
      await client.drain();
      assert.equal(got, 100);
    }
  },
};

for (const [name, step] of Object.entries(steps)) {
  const clients = [];
  const watchdog = setTimeout(() => {
    console.error(`timed out in ${name}`);
    process.exit(1);
  }, 60_000);
  await step(async () => {
    clients.push(await dial({ servers, reconnect: false }));
    return clients.at(-1);
  });
  clearTimeout(watchdog);
  await Promise.all(clients.map((client) => client.close()));
  console.log(`ok ${name}`);
}
