//! The `Recommendations` service: validates a request and reads the catalogue.

use std::time::Instant;

use tonic::{Code, Request, Response, Status};

use crate::catalogue::{self, SHELVES};
use crate::proto::recommendations_server::Recommendations;
use crate::proto::{BookCategory, RecommendRequest, RecommendResponse};

/// How many books are returned when the request leaves it to the server.
pub const DEFAULT_RESULTS: usize = 10;
/// No answer holds more books than this, whatever is asked for.
pub const MAX_RESULTS: usize = 50;

/// Answers from the built-in catalogue.
#[derive(Debug, Default)]
pub struct Catalogue;

#[tonic::async_trait]
impl Recommendations for Catalogue {
    async fn recommend(
        &self,
        request: Request<RecommendRequest>,
    ) -> Result<Response<RecommendResponse>, Status> {
        let begun = Instant::now();
        let request = request.into_inner();
        let answer = recommend(&request);
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        let seconds = begun.elapsed().as_secs_f64();
        metrics::counter!("grpc_server_handled_total", "method" => "Recommend", "code" => format!("{code:?}"))
            .increment(1);
        metrics::histogram!("grpc_server_handling_seconds", "method" => "Recommend").record(seconds);
        tracing::info!(
            method = "Recommend", user_id = request.user_id, category = request.category,
            max_results = request.max_results, code = ?code, seconds, "handled"
        );
        answer.map(Response::new)
    }
}

/// The answer to one request; pure.
pub fn recommend(request: &RecommendRequest) -> Result<RecommendResponse, Status> {
    let category = match BookCategory::try_from(request.category) {
        Ok(category) if category != BookCategory::Unspecified => category,
        _ => {
            let known: Vec<_> = SHELVES.iter().map(BookCategory::as_str_name).collect();
            let known = known.join(", ");
            let message = format!("category {} is not one of {known}", request.category);
            return Err(Status::invalid_argument(message));
        }
    };
    let limit = match usize::try_from(request.max_results).unwrap_or(MAX_RESULTS) {
        0 => DEFAULT_RESULTS,
        wanted => wanted.min(MAX_RESULTS),
    };
    Ok(RecommendResponse { books: catalogue::shelf(category).take(limit).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(category: i32, max_results: u32) -> Result<Vec<String>, Status> {
        let answer = recommend(&RecommendRequest { user_id: 1, category, max_results })?;
        Ok(answer.books.into_iter().map(|book| book.title).collect())
    }

    #[test]
    fn zero_leaves_the_count_to_the_server() {
        assert_eq!(ask(BookCategory::Mystery.into(), 0).unwrap().len(), 3);
    }

    #[test]
    fn the_count_is_kept() {
        assert_eq!(ask(BookCategory::Mystery.into(), 1).unwrap(), ["Murder on the Orient Express"]);
        assert_eq!(ask(BookCategory::ScienceFiction.into(), u32::MAX).unwrap().len(), 4);
    }

    #[test]
    fn an_unknown_category_is_refused_by_name() {
        for category in [0, 99, -1] {
            let status = ask(category, 1).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains("BOOK_CATEGORY_MYSTERY"), "{status}");
        }
    }
}
