//! What must hold of a history, whatever the order of steps was.

pub mod delivery;
pub mod groups;
pub mod order;
pub mod responders;
pub mod rest;
pub mod single;
