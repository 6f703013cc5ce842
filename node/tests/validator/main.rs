//! The one node, whatever engine runs inside: the door, blocks made and judged, branches, replies.

mod admission;
mod batches;
mod branches;
mod chain;
mod effects;
mod judging;
mod network;
mod packets;
mod replies;
mod review;
mod scripted;
mod stage;
mod whole;
