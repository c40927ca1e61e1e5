//! Every committed fuzz seed and finding runs again.

use offhook_server::fuzzing;
use offhook_sim::corpus::replay;

#[test]
fn datagrams_to_the_relay() {
    replay("turn_datagram", fuzzing::turn_datagram);
}

#[test]
fn streams_to_the_relay() {
    replay("turn_stream", fuzzing::turn_stream);
}

#[test]
fn what_callbacks_answer() {
    replay("svaml", fuzzing::svaml);
}

#[test]
fn subscriptions_to_pushes() {
    replay("push_subscription", fuzzing::push_subscription);
}

#[test]
fn messages_between_nodes() {
    replay("cluster_message", fuzzing::cluster_message);
}

#[test]
fn tickets_of_tls() {
    replay("tls_ticket", fuzzing::tls_ticket);
}

#[test]
fn times_of_requests() {
    replay("timestamp", fuzzing::timestamp);
}

#[test]
fn urls_of_databases() {
    replay("store_url", fuzzing::store_url);
}
