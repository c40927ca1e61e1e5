//! Lists of what is live at this node, for a back end here and for other nodes.

use std::time::Instant;

use offhook_signaling::UserId;
use offhook_signaling::call::CallView;

use super::Hub;
use super::far::FIRST_EPOCH;
use crate::cluster::listing::{List, Listed, ListedCall, Page, SeenUser};
use crate::cluster::message::{Body, SeenCall};
use crate::cluster::node::NodeId;
use crate::environment;

impl Hub {
    /// The first `limit` entries of a list, as far as they are here.
    pub(super) fn list(&self, now: Instant, list: &List, limit: usize) -> Listed {
        // One more shows whether a page follows.
        let most = limit + 1;
        match list {
            List::Calls { user, after } => {
                let calls = self.board.calls(now, &self.application, user.as_ref(), after.as_ref(), most);
                let wall = environment::wall_millis();
                let listed = |call: CallView| {
                    let owned = self.far.as_ref().and_then(|far| far.owned.get(&call.so_far.call_id));
                    let epoch = owned.map_or(FIRST_EPOCH, |owned| owned.epoch);
                    ListedCall { epoch, call: SeenCall::new(call, wall) }
                };
                Listed::Calls(Page::new(calls.into_iter().map(listed).collect(), limit))
            }
            List::Online { after } => {
                let seen = self.sessions.users_after(after.as_ref()).filter_map(|user| self.seen(now, user));
                Listed::Users(Page::new(seen.take(most).collect(), limit))
            }
            List::User { user } => {
                Listed::Users(Page::new(self.seen(now, user).into_iter().collect(), limit))
            }
        }
    }

    /// A user with the devices that are connected, if one is. The echo user is nobody.
    fn seen(&self, now: Instant, user: &UserId) -> Option<SeenUser> {
        let is_echo = self.config.echo.as_ref().is_some_and(|echo| echo.user == *user);
        let devices = self.sessions.seen_of(now, user);
        (!devices.is_empty() && !is_echo).then(|| SeenUser { user: user.clone(), devices })
    }

    /// Answers another node. What is long is written beside the hub.
    pub(super) fn answer_list(
        &self,
        now: Instant,
        (to, ask): (&NodeId, Option<u64>),
        list: &List,
        limit: usize,
    ) {
        let Some(far) = &self.far else { return };
        let listed = self.list(now, list, limit);
        let (cluster, application, to) = (far.cluster.clone(), self.application.clone(), to.clone());
        tokio::spawn(async move {
            cluster.answer(&to, ask, &application, Body::Listed(listed.in_bounds()));
        });
    }
}
