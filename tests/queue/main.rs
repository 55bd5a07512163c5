//! Searches through a queue, with a server of their own, killed in every place that can be killed.
//!
//! They need `nats-server` on the path. Without it they say so and pass, unless `CELLC_QUEUE_TESTS` is
//! `required`, as in `.ci/run`.

#![cfg(all(feature = "cli", feature = "nats", unix))]

mod access;
mod budgets;
mod creds;
mod kills;
mod searches;
mod setup;
