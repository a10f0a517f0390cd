//! Midge: a message broker for Linux that speaks the NATS protocol.
//!
//! One glommio executor and one io_uring ring are pinned to each core; a
//! *shard* is everything one core owns, and shards share nothing but lanes.
//! This is the map: a message walks down the list, from the socket to a
//! subscriber. Modules marked *pure* do no I/O and know no clock: events and
//! the time go in, actions come out, and [`shard`] carries the actions.
//!
//! - [`shard`]: the shell: one executor a core; wires everything below
//! - [`net`]: sockets and the ring: accept, receive, send, deadlines
//! - [`proto`]: bytes to commands and back: parser, headers, frames, error texts (*pure*)
//! - [`client`]: one client connection: CONNECT, limits, ping, subscriptions by sid (*pure*)
//! - [`subject`]: tokens, wildcards, transforms: the rules (*pure*)
//! - [`router`]: interest, queue groups, delivery plans and their cache (*pure*)
//! - [`mesh`]: core to core: lanes, parking and wake-ups
//! - [`stream`]: JetStream: streams, consumers and their API (*pure*)
//! - [`store`]: journal, segments, recovery: what streams keep
//! - [`outbound`]: what waits to be sent to one connection (*pure*)
//! - [`monitor`]: pages over HTTP and `/metrics`, from snapshots of the shards
//! - [`account`]: users, permissions, mappings, limits: who may do what (*pure*)
//! - [`tune`]: `midge tune`: checks the machine and sets what can be set
//! - [`inspect`]: `midge store check`: what of a store is damaged
//! - [`top`]: `midge top`: a running server's shards and connections, from its monitoring port
//! - [`config`]: options, command line, configuration file
//! - [`log`]: log lines through a bounded queue to one writer thread
//! - [`websocket`]: the upgrade of HTTP connections, and the frames after it (*pure*)
//! - [`tls`]: certificates, and sessions driven on the buffers of sockets
//! - [`host`]: what the machine offers: processors, quota, clock

pub mod account;
pub mod client;
pub mod config;
#[cfg(test)]
mod fuzz_corpus;
pub mod host;
pub mod inspect;
pub mod log;
pub mod mesh;
pub mod monitor;
pub mod net;
pub mod outbound;
pub mod proto;
pub mod router;
pub mod shard;
pub mod store;
pub mod stream;
pub mod subject;
pub mod tls;
pub mod top;
pub mod tune;
pub mod websocket;
