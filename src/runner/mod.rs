//! What runs inside a user's container.
