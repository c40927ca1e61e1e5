//! What requests bring with them, and pages of lists.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Refusal;
use crate::store::MOST_RECORDS;

/// Entries of one page, when the request does not say.
const USUAL_LIMIT: usize = 100;
/// Why an `after` is refused.
pub(super) const WRONG_AFTER: &str = "after must be the next of a page before";

/// The query of a request; a refusal says what is wrong with it.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => Err(Refusal::parameter(error.body_text())),
        }
    }
}

/// What stands in the path of a request. What cannot be read names nothing.
#[derive(Debug)]
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(segments) = Path::from_request_parts(parts, state).await.map_err(|_| Refusal::NotFound)?;
        Ok(Self(segments))
    }
}

/// The most entries of a page.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Refusal> {
    match asked.unwrap_or(USUAL_LIMIT) {
        limit @ 1..=MOST_RECORDS => Ok(limit),
        _ => Err(Refusal::parameter("limit must be between 1 and 1000")),
    }
}

/// Cuts one more entry than was asked for, which shows that a page follows.
pub(super) fn cut<T>(
    mut entries: Vec<T>,
    limit: usize,
    name: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(name);
    (entries, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_the_last_names_its_last_entry() {
        let name = |number: &u32| number.to_string();
        assert_eq!(cut(vec![1, 2, 3], 2, name), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(cut(vec![1, 2], 2, name), (vec![1, 2], None));
        assert_eq!(cut(vec![], 2, name), (vec![], None));
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
        assert_eq!((limit(None), limit(Some(1000))), (Ok(100), Ok(1000)));
    }
}
