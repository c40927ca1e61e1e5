//! Lists that are of the whole cluster: every node is asked for its part.

use offhook_signaling::ApplicationKey;

use crate::cluster::Gathered;
use crate::cluster::listing::{Entry, List, Listed, Page};
use crate::cluster::message::Body;
use crate::hub::{Gone, Question};
use crate::server::Shared;

/// One page of a list, and who may have more of it.
pub(super) struct Everywhere<T> {
    pub(super) page: Page<T>,
    /// Names of nodes that did not answer in time.
    pub(super) unreachable_nodes: Vec<String>,
}

impl Shared {
    /// Asks this node, and every other where there are some, which takes a second at most.
    pub(super) async fn list<T: Entry>(
        &self,
        application: &ApplicationKey,
        list: List,
        limit: usize,
        of: impl Fn(Listed) -> Option<Page<T>>,
    ) -> Result<Everywhere<T>, Gone> {
        let body = Body::List { list: list.clone(), limit };
        let others = async {
            match &self.cluster {
                Some(cluster) => cluster.gather(application, &body).await,
                None => Gathered::default(),
            }
        };
        let own = self.ask(application, |answer| Question::List { list, limit, answer });
        let (own, Gathered { answers, unreachable: unreachable_nodes }) = tokio::join!(own, others);
        let listed = |(_, body)| if let Body::Listed(listed) = body { Some(listed) } else { None };
        let pages = std::iter::once(own?).chain(answers.into_iter().filter_map(listed)).filter_map(of);
        Ok(Everywhere { page: Page::of_all(pages.collect(), limit), unreachable_nodes })
    }
}
