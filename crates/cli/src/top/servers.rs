//! The servers that are looked at: one, or the nodes of a cluster.

use super::fetch::Source;
use super::sample::Sample;
use crate::failure::Failure;

/// Servers, and what each said last.
#[derive(Debug)]
pub(super) struct Servers(Vec<(Source, Sample)>);

/// One look at all of them.
#[derive(Debug)]
pub(super) struct Look {
    /// What they say together. One that does not answer counts as it was: rates are those of the others then.
    pub(super) sample: Sample,
    /// Who does not answer, and why.
    pub(super) failures: Vec<(String, Failure)>,
}

impl Servers {
    /// What these say first. The first failure, when none of them answers.
    pub(super) async fn first_look(sources: Vec<Source>) -> Result<(Self, Look), Failure> {
        let count = sources.len();
        let mut servers = Self(sources.into_iter().map(|source| (source, Sample::default())).collect());
        let mut look = servers.look().await;
        if look.failures.len() == count && count > 0 {
            return Err(look.failures.swap_remove(0).1);
        }
        Ok((servers, look))
    }

    /// What they say now.
    pub(super) async fn look(&mut self) -> Look {
        let mut failures = Vec::new();
        let fetched = futures_util::future::join_all(self.0.iter().map(|(source, _)| source.fetch())).await;
        for ((source, last), fetched) in self.0.iter_mut().zip(fetched) {
            match fetched {
                Ok(text) => *last = Sample::parse(&text),
                Err(failure) => failures.push((source.server().to_owned(), failure)),
            }
        }
        Look { sample: Sample::together(self.0.iter().map(|(_, sample)| sample)), failures }
    }

    /// As they were given.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|(source, _)| source.server()).collect();
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use offhook_server::{Application, RunningServer, Server, ServerConfig};

    use super::*;

    async fn serve() -> RunningServer {
        let application =
            Application::from_parts("a32e5a8d-f7d8-411c-9645-9038e8dd051d", "ax8hTTQJF0OPXL32r1LHMA==");
        let config = ServerConfig::default()
            .listen("127.0.0.1:0".parse().unwrap())
            .metrics_listen(Some("127.0.0.1:0".parse().unwrap()))
            .application(application.unwrap());
        Server::bind(config).await.unwrap()
    }

    fn source(server: &RunningServer) -> Source {
        Source::new(&format!("http://{}", server.metrics_addr().unwrap()), None, None).unwrap()
    }

    #[tokio::test]
    async fn nodes_are_added_up_and_one_that_is_gone_is_named() {
        let (one, other) = (serve().await, serve().await);
        let gone = Source::new("http://127.0.0.1:1", None, None).unwrap();
        let sources = vec![source(&one), source(&other), gone];
        let (mut servers, look) = Servers::first_look(sources).await.unwrap();
        assert_eq!(look.sample.sum("offhook_build_info", "version"), 2.0);
        assert_eq!(look.failures[0].0, "http://127.0.0.1:1");
        drop(other);
        let look = servers.look().await;
        assert_eq!(look.sample.sum("offhook_build_info", "version"), 2.0, "as it was");
        assert_eq!(look.failures.len(), 2);
        let none = Source::new("http://127.0.0.1:1", None, None).unwrap();
        assert!(Servers::first_look(vec![none]).await.is_err());
    }
}
