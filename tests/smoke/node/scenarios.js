// Goal: the JavaScript client gets through what happens to a broker in its life.
// Method: brokers are started, killed and reloaded by whoever runs this script
// (see stage.rs); the client is left to its own devices.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { connect as dial } from "@nats-io/transport-node";

const LIMIT = 20_000;
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has something done to a broker. */
async function stage(ask, more = {}) {
  process.stdout.write(`${JSON.stringify({ do: ask, name: "one", ...more })}\n`);
  return JSON.parse((await answers.next()).value);
}

/** A client and what it is told. */
class Watched {
  seen = [];
  waiting = [];

  static async connect(servers, more = {}) {
    const watched = new Watched();
    watched.client = await dial({ servers, reconnectTimeWait: 50, maxReconnectAttempts: -1, ...more });
    watched.#follow();
    return watched;
  }

  async #follow() {
    for await (const status of this.client.status()) {
      this.seen.push(status);
      this.waiting = this.waiting.filter(({ type, resolve }) => type !== status.type || resolve(status));
    }
  }

  /** The next news of a type, or the first that came. */
  async until(type) {
    const found = this.seen.findIndex((status) => status.type === type);
    if (found >= 0) return this.seen.splice(0, found + 1).at(-1);
    return await within(new Promise((resolve) => this.waiting.push({ type, resolve })), type);
  }

  has(type) {
    return this.seen.some((status) => status.type === type);
  }
}

async function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} in ${LIMIT} ms`)), LIMIT);
  });
  return await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next `count` messages of a subscription. */
async function take(subscription, count) {
  const messages = [];
  for (const iterator = subscription[Symbol.asyncIterator](); messages.length < count; ) {
    messages.push((await within(iterator.next(), "message")).value);
  }
  return messages;
}

const users = (...entries) => `authorization { users: [ ${entries.join(", ")} ] }`;

const steps = {
  async subscriptionsComeBackAfterACrash() {
    const { url } = await stage("start", { config: "" });
    const [one, two] = [await Watched.connect(url), await Watched.connect(url)];
    const numbers = [];
    one.client.subscribe("a.*", { callback: (_, message) => numbers.push(message.subject) });
    let jobs = 0;
    for (let member = 0; member < 2; member++) {
      one.client.subscribe("work", { queue: "q", callback: () => jobs++ });
    }
    await one.client.flush();
    for (let round = 1; round <= 3; round++) {
      one.seen.length = two.seen.length = 0;
      await stage("restart");
      await Promise.all([one.until("reconnect"), two.until("reconnect")]);
      await one.client.flush();
      const last = one.client.subscribe("last", { max: 1 });
      await one.client.flush();
      for (let number = 0; number < 100; number++) {
        two.client.publish(`a.${number}`);
        two.client.publish("work");
      }
      two.client.publish("last");
      await take(last, 1);
      assert.equal(numbers.length, 100 * round);
      assert.equal(numbers.at(-1), "a.99");
      assert.equal(jobs, 100 * round);
    }
    await Promise.all([one.client.close(), two.client.close()]);
  },

  async aMemberThatDrainsLosesNothing() {
    const { url } = await stage("start", { config: "" });
    const counts = [0, 0];
    let finish;
    const done = new Promise((resolve) => (finish = resolve));
    const members = [];
    for (const index of counts.keys()) {
      const { client } = await Watched.connect(url);
      client.subscribe("jobs", {
        queue: "q",
        callback: () => {
          counts[index]++;
          if (counts[0] + counts[1] === 1000) finish();
        },
      });
      await client.flush();
      members.push(client);
    }
    const sender = (await Watched.connect(url)).client;
    let leaving;
    for (let number = 0; number < 1000; number++) {
      sender.publish("jobs", `${number}`);
      if (number === 500) {
        await sender.flush();
        leaving = members[0].drain();
      }
    }
    await sender.flush();
    await within(leaving, "end of the drain");
    assert.ok(members[0].isClosed());
    await within(done, "last job");
    assert.ok(Math.min(...counts) > 0, `${counts}`);
    await Promise.all([members[1].close(), sender.close()]);
  },

  async usersChangeWhileTheyAreConnected() {
    const ann = "{user: ann, password: pw}";
    const bob = (subjects) =>
      `{user: bob, password: pw, permissions { publish: ">", subscribe: [${subjects}, "_INBOX.>"] } }`;
    const eve = "{user: eve, password: pw}";
    const { url } = await stage("start", { config: users(ann, bob('"s", "t"'), eve) });
    const as = (user, more = {}) => Watched.connect(url, { user, pass: "pw", ...more });
    const clients = { ann: await as("ann"), bob: await as("bob") };
    const gone = await as("eve", { reconnect: false });
    const kept = clients.bob.client.subscribe("s");
    let refused;
    const lost = new Promise((resolve) => (refused = resolve));
    clients.bob.client.subscribe("t", { callback: (error) => error && refused(error) });
    await clients.bob.client.flush();
    await stage("reload", { config: users(ann, bob('"s"'), "{user: fay, password: pw}") });
    await within(gone.client.closed(), "end of a user who is none");
    assert.match(`${(await within(lost, "refusal")).message}`, /permissions violation/i);
    clients.ann.client.publish("s", "still");
    assert.equal((await take(kept, 1))[0].string(), "still");
    assert.ok(!clients.ann.has("disconnect") && !clients.bob.has("disconnect"));
    const fay = await as("fay");
    await fay.client.flush();
    await assert.rejects(as("eve", { reconnect: false }));
    await Promise.all([fay, clients.ann, clients.bob].map((one) => one.client.close()));
  },

  async clientsLeaveALameDuckForAnotherServer() {
    const config = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "100ms"';
    const first = (await stage("start", { config })).url;
    const second = (await stage("start", { name: "two", config: "" })).url;
    const watched = [];
    for (let number = 0; number < 3; number++) {
      watched.push(await Watched.connect([first, second], { noRandomize: true }));
    }
    const moved = watched[0].client.subscribe("moved");
    await watched[0].client.flush();
    await stage("ldm");
    await Promise.all(watched.map((one) => one.until("ldm")));
    await Promise.all(watched.map((one) => one.until("reconnect")));
    for (const { client } of watched) assert.equal(`nats://${client.getServer()}`, second);
    await watched[0].client.flush();
    watched[2].client.publish("moved");
    await take(moved, 1);
    await stage("gone");
    await Promise.all(watched.map((one) => one.client.close()));
  },
};

for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(`ok ${name}`);
}
process.exit(0);
