//! Catching up: blocks and snapshots from peers of whom none is trusted (R17, R35, R38, R39, B19).

mod blocks;
mod central;
mod follower;
mod library;
mod net;
mod pages;
mod pbft;
mod snapshots;
mod wire;
