//! What a seed draws before anything happens.

use super::names::TOPICS_MAX;
use super::random::Random;
use super::scenes::Scene;

/// The drawn parameters of one run; printed with a failure.
#[derive(Clone, Debug)]
pub struct Params {
    pub seed: u64,
    pub shards: usize,
    /// Batches that a data lane holds.
    pub lane_batches: usize,
    pub clients: usize,
    /// Operations of one client's program.
    pub operations: usize,
    /// All clients do the same kind of thing, flush, and meet, again and again:
    /// then the outcome is known exactly.
    pub phased: bool,
    pub topics: usize,
    /// Names of queues.
    pub queues: usize,
    /// The same names for all patterns; else each pattern has its own.
    pub shared_queues: bool,
    pub queue_per_mille: usize,
    pub big_per_mille: usize,
    pub big_bytes: usize,
    pub max_pending: usize,
    pub slow_reader_per_mille: usize,
    pub stuck_reader_per_mille: usize,
    pub unsubscribe_weight: usize,
    pub close_weight: usize,
    pub connect_weight: usize,
    pub unacknowledged_max: u64,
    /// Nanoseconds that a step takes at most.
    pub step_time: usize,
    /// How often each shard is chosen to run, against the others.
    pub weights: Vec<usize>,
    /// How often a shard stands still for a while.
    pub freeze_per_10_000: usize,
    /// Steps that one burst of operations covers.
    pub burst: usize,
    /// Bytes that one receive brings at most.
    pub receive_max: usize,
    /// How often a turn leaves the completions it has not handled to the next.
    pub defer_per_mille: usize,
    /// Answers and relays that clients make in all.
    pub reactions: usize,
    /// How often a client passes a message on, and how often it ends a
    /// subscription because of one.
    pub relay_per_mille: usize,
    pub drop_per_mille: usize,
    /// What the clients are there for, if they do not do just anything.
    pub scene: Option<Scene>,
}

impl Params {
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shards = random.pick(&[1, 2, 2, 3, 3, 3, 3, 3, 4, 5]);
        // Members of one queue come and go while lanes are slow.
        let churn = shards > 2 && random.chance(250);
        let phased = random.chance(200);
        let small_pending = !phased && random.chance(200);
        let big = random.chance(250);
        let mut params = Self {
            seed,
            shards,
            lane_batches: random.within(1, 4),
            clients: random.within(2, 8),
            operations: random.within(8, 60),
            phased,
            topics: if churn { 1 } else { random.within(1, TOPICS_MAX) },
            queues: if churn { 1 } else { random.within(1, 2) },
            shared_queues: random.chance(500),
            queue_per_mille: if churn { 950 } else { random.pick(&[0, 200, 500, 900]) },
            big_per_mille: if big { random.pick(&[50, 300, 950]) } else { 0 },
            big_bytes: random.pick(&[20_000, 40_000, 65_000, 70_000]),
            max_pending: if small_pending {
                random.pick(&[5_000, 30_000, 100_000])
            } else {
                1 << 30
            },
            slow_reader_per_mille: if small_pending { 400 } else { random.pick(&[0, 0, 200]) },
            stuck_reader_per_mille: if small_pending { 200 } else { 0 },
            unsubscribe_weight: if churn { 25 } else { random.pick(&[1, 4, 12]) },
            connect_weight: if churn { 8 } else { 1 },
            close_weight: if phased { 0 } else { random.pick(&[0, 1, 1, 3]) },
            unacknowledged_max: random.pick(&[2, 5, 65_536, 65_536]),
            step_time: random.pick(&[1, 1_000, 100_000]),
            weights: (0..shards).map(|_| random.pick(&[1, 4, 4, 16, 100])).collect(),
            freeze_per_10_000: if churn { 100 } else { random.pick(&[0, 10, 50]) },
            burst: random.pick(&[1, 3, 8, 40]),
            receive_max: random.pick(&[16, 300, 4_000, 65_536]).max(if big { 4_000 } else { 0 }),
            defer_per_mille: random.pick(&[0, 50, 300]),
            reactions: if phased { 0 } else { random.pick(&[0, 20, 60, 200]) },
            relay_per_mille: random.pick(&[100, 300, 900]),
            drop_per_mille: random.pick(&[0, 0, 200]),
            scene: None,
        };
        if random.chance(150) {
            let scene = random.pick(&[Scene::PickAgain, Scene::Drain, Scene::FanOut]);
            scene.set(&mut params, &mut random);
        }
        params
    }
}
