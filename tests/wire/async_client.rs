//! Goal: the official Rust client works, unmodified. Method: what its users do
//! most, with everything it hands out checked.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, HeaderMap, RequestErrorKind};
use futures::StreamExt;
use tokio::time::timeout;

use crate::common::{Broker, Random, PATIENCE};

async fn connect(broker: &Broker) -> Client {
    async_nats::connect(broker.url()).await.unwrap()
}

/// Waits until the broker has taken all that the client sent so far. The
/// client's `flush` only writes; a request that nobody answers comes back.
async fn settle(client: &Client) {
    client.request("nobody.is.here", "".into()).await.unwrap_err();
}

/// The next message, with a limit that only a failure reaches.
async fn next(subscriber: &mut async_nats::Subscriber) -> async_nats::Message {
    timeout(PATIENCE, subscriber.next()).await.expect("a message in time").expect("a message")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_publishes_and_subscribes() {
    let broker = Broker::start(&[]);
    let (one, two) = (connect(&broker).await, connect(&broker).await);
    let mut subscriber = one.subscribe("a.*").await.unwrap();
    settle(&one).await;
    for number in 0..1000 {
        two.publish(format!("a.{number}"), number.to_string().into()).await.unwrap();
    }
    two.flush().await.unwrap();
    for number in 0..1000 {
        let message = next(&mut subscriber).await;
        assert_eq!(message.subject.as_str(), format!("a.{number}"));
        assert_eq!(message.payload, number.to_string());
    }
    assert_eq!(one.server_info().port, broker.port());
    assert_eq!(one.server_info().max_payload, 1_048_576);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_requests_and_replies() {
    let broker = Broker::start(&[]);
    let (one, two) = (connect(&broker).await, connect(&broker).await);
    let mut requests = one.subscribe("svc").await.unwrap();
    settle(&one).await;
    let server = tokio::spawn(async move {
        for _ in 0..500 {
            let request = next(&mut requests).await;
            one.publish(request.reply.unwrap(), request.payload).await.unwrap();
        }
        one.flush().await.unwrap();
    });
    for number in 0..500 {
        let reply = two.request("svc", number.to_string().into()).await.unwrap();
        assert_eq!(reply.payload, number.to_string());
    }
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_hears_that_nobody_responds() {
    let broker = Broker::start(&[]);
    let client = connect(&broker).await;
    let error = client.request("nobody", "x".into()).await.unwrap_err();
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shares_work_in_a_queue_group() {
    let broker = Broker::start(&[]);
    let mut clients = Vec::new();
    let mut members = Vec::new();
    for member in 0..4 {
        let client = connect(&broker).await;
        let subscriber = client.queue_subscribe("work", "q".into()).await.unwrap();
        settle(&client).await;
        clients.push(client);
        members.push(subscriber.map(move |message| (member, message.payload)));
    }
    let publisher = connect(&broker).await;
    for number in 0..400 {
        publisher.publish("work", number.to_string().into()).await.unwrap();
    }
    publisher.flush().await.unwrap();
    let taken = futures::stream::select_all(members).take(400).collect::<Vec<_>>();
    let taken = timeout(PATIENCE, taken).await.unwrap();
    for member in 0..4 {
        let count = taken.iter().filter(|(by, _)| *by == member).count();
        assert!(count > 40, "{count} of 400");
    }
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().parse::<usize>().unwrap();
    let mut numbers: Vec<_> = taken.iter().map(|(_, payload)| text(payload)).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_sends_headers() {
    let broker = Broker::start(&[]);
    let client = connect(&broker).await;
    let mut subscriber = client.subscribe("a").await.unwrap();
    let mut headers = HeaderMap::new();
    headers.append("One", "1");
    headers.append("Two", "2");
    headers.append("Two", "zwei");
    client.publish_with_headers("a", headers.clone(), "x".into()).await.unwrap();
    let message = next(&mut subscriber).await;
    assert_eq!(message.headers, Some(headers));
    assert_eq!(message.payload, "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_drains_without_loss() {
    let broker = Broker::start(&[]);
    let publisher = connect(&broker).await;
    for _ in 0..50 {
        let client = connect(&broker).await;
        let subscriber = client.subscribe("a").await.unwrap();
        let mut last = client.subscribe("last").await.unwrap();
        settle(&client).await;
        for number in 0..100 {
            publisher.publish("a", number.to_string().into()).await.unwrap();
        }
        publisher.publish("last", "".into()).await.unwrap();
        publisher.flush().await.unwrap();
        next(&mut last).await;
        client.drain().await.unwrap();
        let got: Vec<_> = timeout(PATIENCE, subscriber.collect::<Vec<_>>()).await.unwrap();
        assert_eq!(got.len(), 100);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_unsubscribes_after_a_number_of_messages() {
    let broker = Broker::start(&[]);
    let client = connect(&broker).await;
    let mut subscriber = client.subscribe("a").await.unwrap();
    subscriber.unsubscribe_after(3).await.unwrap();
    for _ in 0..10 {
        client.publish("a", "x".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    let got: Vec<_> = timeout(PATIENCE, subscriber.collect::<Vec<_>>()).await.unwrap();
    assert_eq!(got.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_moves_large_payloads() {
    let broker = Broker::start(&[]);
    let (one, two) = (connect(&broker).await, connect(&broker).await);
    let mut subscriber = one.subscribe("a").await.unwrap();
    settle(&one).await;
    for (seed, size) in [(1, 65_536), (2, 262_145), (3, 1_048_576)] {
        let bytes = Random::new(seed).bytes(size);
        two.publish("a", bytes.clone().into()).await.unwrap();
        two.flush().await.unwrap();
        assert!(next(&mut subscriber).await.payload == bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_talk_to_one_another() {
    let broker = Broker::start(&[]);
    let mut clients = Vec::new();
    for index in 0..100 {
        let client = connect(&broker).await;
        let own = client.subscribe(format!("own.{index}")).await.unwrap();
        let all = client.subscribe("all").await.unwrap();
        settle(&client).await;
        clients.push((client, own, all));
    }
    for (index, (client, ..)) in clients.iter().enumerate() {
        let to = (index * 37 + 11) % 100;
        client.publish(format!("own.{to}"), to.to_string().into()).await.unwrap();
        client.publish("all", index.to_string().into()).await.unwrap();
    }
    for (index, (_, own, all)) in clients.iter_mut().enumerate() {
        assert_eq!(next(own).await.payload, index.to_string());
        for _ in 0..100 {
            next(all).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_logs_in_with_user_and_token() {
    let broker = Broker::start(&["--user", "ann", "--pass", "s3cret"]);
    let options = ConnectOptions::with_user_and_password("ann".into(), "s3cret".into());
    let client = options.connect(broker.url()).await.unwrap();
    client.flush().await.unwrap();
    let options = ConnectOptions::with_user_and_password("ann".into(), "wrong".into());
    assert!(options.connect(broker.url()).await.is_err());
    let broker = Broker::start(&["--auth", "t0ken"]);
    let client = ConnectOptions::with_token("t0ken".into()).connect(broker.url()).await.unwrap();
    client.flush().await.unwrap();
    assert!(async_nats::connect(broker.url()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_reconnects_to_a_broker_that_came_back() {
    let broker = Broker::start(&[]);
    let port = broker.port().to_string();
    let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(20));
    let client = options.connect(broker.url()).await.unwrap();
    let mut subscriber = client.subscribe("a").await.unwrap();
    settle(&client).await;
    drop(broker);
    let broker = Broker::start_with(&["-a", "127.0.0.1", "-p", &port]);
    let publisher = connect(&broker).await;
    // The subscription is there again once a message comes through.
    let publishing = async {
        loop {
            publisher.publish("a", "x".into()).await.unwrap();
            publisher.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        message = next(&mut subscriber) => assert_eq!(message.payload, "x"),
        () = publishing => unreachable!("it publishes for ever"),
    }
}
