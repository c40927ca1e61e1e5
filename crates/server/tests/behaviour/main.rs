//! What the server does, seen by clients over real loopback sockets: one module per behaviour.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test by panicking")]

mod support;

mod abuse;
mod admin;
mod application;
mod authentication_string;
mod backend;
mod chaos;
mod cluster;
mod cluster_control;
mod cluster_failover;
mod cluster_killed;
mod cluster_lists;
mod cluster_nats;
mod cluster_parted;
mod control;
mod copied;
mod database;
mod ending;
mod glare;
mod hello;
mod hostile_frames;
mod ice_servers;
mod killed;
mod limits;
mod logs;
mod lost_connection;
mod metrics;
mod nodes;
mod pages;
mod persistence;
mod postgres;
mod push;
mod push_service;
mod records;
mod refused_tokens;
mod reliability;
mod rest;
mod restart;
mod resume;
mod revoke;
mod ringing;
mod shutdown;
mod stores;
mod tls;
mod traces;
mod unreachable_callee;
mod users;
mod webhooks;
