//! What objects of the cluster say, apart from how it is printed. All of it is pure: objects and a time go in, plain
//! values come out.

pub mod duration;
pub mod locks;
pub mod moments;
pub mod parts;
pub mod summary;
pub mod template;
pub mod verdict;
