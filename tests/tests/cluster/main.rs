//! Everything that needs real servers: Apache Kafka and Apache Cassandra. One binary, so
//! that one set of them serves all of its tests.
#![cfg(feature = "cluster")]

mod commands;
mod demo;
mod deploy;
mod ingress;
mod intake;
mod log;
mod node;
mod security;
mod servers;
mod store;
mod transfer;
