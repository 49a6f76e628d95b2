//! From the lines of a container's log to what a reader gets: each frame once and in order, gaps named, as text or
//! as JSON. The log server and the kubectl plugin read logs by it. All of it is pure.

mod frames;
mod lines;
mod shape;

pub use self::{
    frames::{Frames, Piece},
    lines::{Since, Tail, Writer},
    shape::{Format, Selection, Shape},
};
