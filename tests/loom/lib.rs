//! Goal: the protocols of the lanes hold under every interleaving. Method: the
//! very files of the broker, compiled with `--cfg loom`; their `loom_` tests
//! stand beside them.

#[path = "../../src/mesh/mod.rs"]
pub mod mesh;
