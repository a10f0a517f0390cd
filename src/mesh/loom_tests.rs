//! The lanes and the parking protocol under every interleaving that loom can reach.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release loom_`. Under loom a block of a control
//! lane holds two items and the eventfd is a flag. Three preemptions a run are explored: enough
//! for every protocol here, whose critical windows have two steps a side.

use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use super::bounded::bounded;
use super::cursors::{Cursors, CONTROL, DATA};
use super::endpoint::{mesh, Endpoint};
use super::linked::linked;

fn model(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

fn pair() -> (Endpoint<u32, u32>, Endpoint<u32, u32>) {
    let mut ends = mesh(2, 1);
    let second = ends.pop().unwrap();
    (ends.pop().unwrap(), second)
}

// Goal: slots are handed over without a race while the ring wraps and runs full.
#[test]
fn loom_bounded_lane_keeps_order_over_laps() {
    model(|| {
        let (mut producer, mut consumer) = bounded::<u32, DATA>(&Arc::new(Cursors::new()), 2);
        let writer = thread::spawn(move || {
            for item in 0..4 {
                while producer.push(item).is_err() {
                    thread::yield_now();
                }
            }
        });
        for expected in 0..4 {
            let item = loop {
                match consumer.take() {
                    Some(item) => break item,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(item, expected);
        }
        assert_eq!(consumer.take(), None);
        writer.join().unwrap();
    });
}

// Goal: links, slots and the returned block are handed over without a race over several blocks.
#[test]
fn loom_linked_lane_keeps_order_over_blocks() {
    model(|| {
        let (mut producer, mut consumer) = linked::<u32, CONTROL>(&Arc::new(Cursors::new()));
        let writer = thread::spawn(move || {
            for item in 0..7 {
                producer.push(item);
            }
        });
        for expected in 0..7 {
            let item = loop {
                match consumer.take() {
                    Some(item) => break item,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(item, expected);
        }
        assert_eq!(consumer.take(), None);
        writer.join().unwrap();
    });
}

// Goal: what is left in either lane is dropped once, whichever end goes last. Method: loom reports
// an `Arc` that is leaked, and a count below one is a double drop.
#[test]
fn loom_items_left_in_lanes_are_dropped_once() {
    model(|| {
        let witness = Arc::new(());
        let cursors = Arc::new(Cursors::new());
        let (mut control, mut control_in) = linked::<Arc<()>, CONTROL>(&cursors);
        let (mut data, mut data_in) = bounded::<Arc<()>, DATA>(&cursors, 2);
        drop(cursors);
        let writer = {
            let witness = Arc::clone(&witness);
            thread::spawn(move || {
                for _ in 0..3 {
                    control.push(Arc::clone(&witness));
                }
                drop(data.push(Arc::clone(&witness)));
            })
        };
        drop(control_in.take());
        drop(data_in.take());
        drop(control_in);
        drop(data_in);
        writer.join().unwrap();
        assert_eq!(Arc::strong_count(&witness), 1);
    });
}

// Goal: no wake-up is lost. Method: one shard pushes and wakes, the other parks; whoever sleeps
// with an item in a lane must have been rung for.
#[test]
fn loom_parking_shard_sees_the_item_or_is_woken() {
    for control in [true, false] {
        model(move || {
            let (mut pusher, mut sleeper) = pair();
            let pushing = thread::spawn(move || {
                if control {
                    pusher.push_control(1, 5);
                } else {
                    pusher.push_data(1, 5).unwrap();
                }
                pusher.wake_parked();
                pusher
            });
            let parked = sleeper.begin_park(false);
            let pusher = pushing.join().unwrap();
            if parked {
                assert!(sleeper.bell_has_rung(), "asleep with an item in the lane");
            } else {
                let item = if control { sleeper.take_control(0) } else { sleeper.take_data(0) };
                assert_eq!(item, Some(5));
            }
            drop(pusher);
        });
    }
}

// Goal: a shard that sleeps, wakes and sleeps again loses no wake-up to the first sleep's state.
// Method: as above with two pushes and two parks. Asking whether the bell has rung empties it, as
// reading the eventfd does.
#[test]
fn loom_second_sleep_is_woken_like_the_first() {
    model(|| {
        let (mut pusher, mut sleeper) = pair();
        let pushing = thread::spawn(move || {
            for item in 0..2 {
                pusher.push_control(1, item);
                pusher.wake_parked();
            }
            pusher
        });
        let mut taken = 0;
        let mut asleep = false;
        for _ in 0..2 {
            asleep = sleeper.begin_park(false) && !sleeper.bell_has_rung();
            if asleep {
                break;
            }
            sleeper.end_park();
            while sleeper.take_control(0).is_some() {
                taken += 1;
            }
        }
        let pusher = pushing.join().unwrap();
        if asleep && taken < 2 {
            assert!(sleeper.bell_has_rung(), "asleep with an item in the lane");
        }
        drop(pusher);
    });
}

// Goal: two peers that push to one sleeper wake it, and the loser of the race to ring need not.
#[test]
fn loom_two_pushers_wake_one_sleeper() {
    model(|| {
        let mut ends = mesh::<u32, u32>(3, 1);
        let mut sleeper = ends.pop().unwrap();
        let pushing: Vec<_> = ends
            .into_iter()
            .map(|mut pusher| {
                thread::spawn(move || {
                    pusher.push_control(2, 1);
                    pusher.wake_parked();
                    pusher
                })
            })
            .collect();
        let parked = sleeper.begin_park(false);
        let pushers: Vec<_> = pushing.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(!parked || sleeper.bell_has_rung(), "asleep with items in the lanes");
        drop(pushers);
    });
}

// Goal: a shard that parked awaiting a routed counter is woken by its advance, and sees room in
// the data lane with it.
#[test]
fn loom_routed_counter_wakes_the_shard_that_awaits_it() {
    model(|| {
        let (mut origin, mut receiver) = pair();
        origin.push_data(1, 9).unwrap();
        let routing = thread::spawn(move || {
            assert_eq!(receiver.take_data(0), Some(9));
            receiver.publish_routed(0, 1);
            receiver.wake_parked();
            receiver
        });
        let parked = origin.begin_park(true);
        if !parked {
            assert_eq!(origin.routed(1), 1);
            assert_eq!(origin.data_free(1), 1);
        }
        let receiver = routing.join().unwrap();
        assert!(!parked || origin.bell_has_rung(), "asleep though the counter advanced");
        assert_eq!(origin.routed(1), 1);
        drop(receiver);
    });
}

// Goal: a shard that does not await counters is not woken for one.
#[test]
fn loom_routed_counter_leaves_other_sleepers_alone() {
    model(|| {
        let (mut origin, mut receiver) = pair();
        let routing = thread::spawn(move || {
            receiver.publish_routed(0, 1);
            receiver.wake_parked();
            receiver
        });
        assert!(origin.begin_park(false));
        let receiver = routing.join().unwrap();
        assert!(!origin.bell_has_rung());
        drop(receiver);
    });
}

// Goal: whoever takes data sees the control pushed before it.
#[test]
fn loom_control_pushed_before_data_is_there_when_data_is() {
    model(|| {
        let (mut sender, mut receiver) = pair();
        let sending = thread::spawn(move || {
            sender.push_control(1, 1);
            sender.push_data(1, 2).unwrap();
            sender
        });
        if receiver.take_data(0).is_some() {
            assert_eq!(receiver.take_control(0), Some(1));
        }
        drop(sending.join().unwrap());
    });
}

// Goal: the same over a third shard, which reacts to the data with data of its own: the reply
// cannot overtake the interest it answers to.
#[test]
fn loom_control_is_there_before_data_that_another_shard_sent_because_of_it() {
    model(|| {
        let mut ends = mesh::<u32, u32>(3, 1);
        let mut replier = ends.pop().unwrap();
        let mut receiver = ends.pop().unwrap();
        let mut sender = ends.pop().unwrap();
        let sending = thread::spawn(move || {
            sender.push_control(1, 1);
            sender.push_control(2, 1);
            sender.push_data(2, 2).unwrap();
            sender
        });
        let replying = thread::spawn(move || {
            if replier.take_data(0).is_some() {
                replier.push_data(1, 3).unwrap();
            }
            replier
        });
        if receiver.take_data(2).is_some() {
            assert_eq!(receiver.take_control(0), Some(1));
        }
        drop((sending.join().unwrap(), replying.join().unwrap()));
    });
}
