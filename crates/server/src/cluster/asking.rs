//! Questions between nodes, and their answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use offhook_signaling::ApplicationKey;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Cluster;
use super::lease::Others;
use super::message::{Body, Message};
use super::node::{NodeId, Subject};
use crate::environment;

/// A node that does not answer for so long is not asked again.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// For what every node is asked: whoever waits for it is told who did not answer.
pub(super) const GATHERING: Duration = Duration::from_secs(1);

/// How a question to another node went.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It answered.
    Body(Body),
    /// Nobody was there to hear it.
    Unheard,
    /// No answer in time, or no way to send it.
    Silent,
}

/// A question that waits for its answer: whoever stops waiting forgets it.
#[derive(Debug)]
struct Asked {
    cluster: Arc<Cluster>,
    number: u64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.cluster.asks().remove(&self.number);
    }
}

/// What every other node was asked.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Who answered what.
    pub(crate) answers: Vec<(NodeId, Body)>,
    /// The names of those that did not answer in time.
    pub(crate) unreachable: Vec<String>,
}

impl Cluster {
    /// Asks, at once; the answer comes later. Of several that answer the first counts.
    pub(crate) fn ask(
        self: &Arc<Self>,
        to: &Subject,
        application: &ApplicationKey,
        body: Body,
    ) -> impl Future<Output = Answer> + use<> {
        let number = self.last_ask.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let is_sent = self.is_up() && {
            self.asks().insert(number, answer);
            let message = Message::new(self.node.clone(), application.clone(), body).asking(number);
            self.bus.publish(to, Some(number), message.bytes())
        };
        let asked = Asked { cluster: self.clone(), number };
        async move {
            let _asked = asked;
            match is_sent {
                true => timeout(PATIENCE, answered).await.ok().and_then(Result::ok).unwrap_or(Answer::Silent),
                false => Answer::Silent,
            }
        }
    }

    /// Asks every other node, and waits a second for them.
    pub(crate) async fn gather(self: &Arc<Self>, application: &ApplicationKey, body: &Body) -> Gathered {
        let Others { alive, missed } = self.leases().others(environment::now());
        let asked = alive.into_iter().map(|node| {
            let answer = self.ask(&Subject::node(&node), application, body.clone());
            async move { (node, timeout(GATHERING, answer).await.unwrap_or(Answer::Silent)) }
        });
        let mut gathered = Gathered::default();
        gathered.unreachable.extend(missed.iter().map(|node| node.name().to_owned()));
        for (node, answer) in join_all(asked).await {
            match answer {
                Answer::Body(body) => gathered.answers.push((node, body)),
                Answer::Unheard | Answer::Silent => gathered.unreachable.push(node.name().to_owned()),
            }
        }
        gathered.unreachable.sort();
        gathered
    }

    pub(super) fn answered(&self, ask: u64, answer: Answer) {
        if let Some(asked) = self.asks().remove(&ask) {
            // Whoever asked may not wait any more.
            let _ = asked.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use offhook_signaling::message::{Empty, WireError};
    use offhook_signaling::{CallId, ClientMessage, DeviceId, UserId};

    use super::super::bus::Delivery;
    use super::super::message::{CallTerm, Device};
    use super::super::{ClusterConfig, Intake, LocalBus, nobody};
    use super::*;

    #[tokio::test]
    async fn a_question_of_which_nobody_waits_for_the_answer_is_forgotten() {
        let bus = LocalBus::default();
        let join = |name: &str| ClusterConfig::local(name.parse().unwrap(), bus.clone());
        let (asking, _intake) = Cluster::join(&join("a")).await.unwrap();
        let (silent, _intake) = Cluster::join(&join("b")).await.unwrap();
        let ask = || asking.ask(&Subject::node(silent.node()), nobody(), Body::Nothing);
        let (given_up, waits) = (ask(), ask());
        assert_eq!(asking.asks().len(), 2);
        assert!(timeout(Duration::from_millis(1), given_up).await.is_err());
        assert_eq!(asking.asks().len(), 1);
        drop(waits);
        assert!(asking.asks().is_empty());
    }

    #[tokio::test]
    async fn what_a_hub_does_not_take_any_more_is_answered_at_once() {
        let bus = LocalBus::default();
        let join = |name: &str| ClusterConfig::local(name.parse().unwrap(), bus.clone());
        let (asking, mut answers) = Cluster::join(&join("a")).await.unwrap();
        let (closing, mut questions) = Cluster::join(&join("b")).await.unwrap();
        let device = Device { user: UserId::new("bob").unwrap(), device: DeviceId::new("b1").unwrap() };
        let call = CallTerm { call_id: CallId::new("c").unwrap(), epoch: 1 };
        let message = Box::new(ClientMessage::CallRinging(Empty {}));
        let unknown = Body::Outcome { error: Some(WireError::UnknownCall) };
        let claim = |only_if_here| {
            let (resume, calls) = (None, Vec::new());
            Body::Claim { device: device.clone(), resume, calls, only_if_here }
        };
        for (question, answer) in [
            (Body::Command { device: device.clone(), call, message }, Some(unknown)),
            (claim(false), Some(Body::Nothing)),
            // Of these several are asked, and the first that has it answers.
            (claim(true), None),
        ] {
            let asked = asking.ask(&Subject::node(closing.node()), nobody(), question);
            closing.turn_away(&next(&mut questions).await);
            if let Some(answer) = answer {
                let said = next(&mut answers).await;
                asking.answered(said.answers.unwrap(), Answer::Body(said.body));
                assert!(matches!(asked.await, Answer::Body(body) if body == answer));
            } else {
                assert!(answers.deliveries.try_recv().is_err());
            }
        }
    }

    async fn next(intake: &mut Intake) -> Message {
        loop {
            if let Some(Delivery::Message(bytes)) = intake.deliveries.recv().await {
                let message = Message::parse(&bytes).unwrap();
                if !matches!(message.body, Body::Here) {
                    return message;
                }
            }
        }
    }

    #[tokio::test]
    async fn a_node_that_hears_and_does_not_answer_is_waited_for_a_second_and_named() {
        let bus = LocalBus::default();
        let join = |name: &str| ClusterConfig::local(name.parse().unwrap(), bus.clone());
        let (asking, _intake) = Cluster::join(&join("a")).await.unwrap();
        let (hanging, _intake) = Cluster::join(&join("b")).await.unwrap();
        assert!(asking.gather(nobody(), &Body::Glance).await.unreachable.is_empty(), "not known yet");
        asking.leases().handle_lease(environment::now(), hanging.node().clone());
        let since = environment::now();
        let Gathered { answers, unreachable } = asking.gather(nobody(), &Body::Glance).await;
        let took = since.elapsed();
        assert!(answers.is_empty() && asking.asks().is_empty());
        assert_eq!(unreachable, ["b"]);
        assert!(took >= GATHERING && took < PATIENCE, "{took:?}");
    }
}
