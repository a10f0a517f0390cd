//! Nothing is left over: after the programs, and after the clients.

use crate::world::World;

/// When every shard sleeps: only requests that were taken are still noted.
pub fn check_asleep(world: &World) -> Result<(), String> {
    check(world, false)
}

/// When every shard has had a look at what has come meanwhile.
pub fn check_quiet(world: &World) -> Result<(), String> {
    check(world, true)
}

fn check(world: &World, settled: bool) -> Result<(), String> {
    if !world.lanes.are_empty() {
        return Err("rest: a lane is not empty".to_owned());
    }
    for shard in &world.shards {
        let counts = shard.core.counts();
        let busy = counts.waiting_pongs
            + counts.draining
            + if settled { counts.requests } else { 0 }
            + counts.interest_waiters
            + counts.lane_waiters;
        if busy > 0 || counts.unacknowledged > 0 || shard.core.has_unpushed() {
            return Err(format!("rest: shard {} is left with {counts:?}", shard.own));
        }
    }
    Ok(())
}

/// When all clients are gone.
pub fn check_empty(world: &World) -> Result<(), String> {
    check_quiet(world)?;
    for shard in &world.shards {
        let counts = shard.core.router().counts();
        let rest = counts.subscriptions + counts.patterns + counts.remote_patterns + counts.groups;
        if rest > 0 || shard.core.connections() > 0 {
            let connections = shard.core.connections();
            return Err(format!(
                "rest: shard {} keeps {connections} connections and {counts:?}",
                shard.own
            ));
        }
    }
    Ok(())
}
