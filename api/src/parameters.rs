//! Path and query parameters, and how much of a listing one page shows.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};

use crate::problem::{FieldProblems, Problem, ProblemCode};

/// Rows of a page unless the caller says how many.
pub const PAGE_DEFAULT: usize = 50;
/// The most rows of a page: 1,000 messages are some 1.5 MB of JSON.
pub const PAGE_MAX: usize = 1_000;

/// The id in the path. What is no id of this kind names nothing, so it is not found.
pub struct PathId<T>(pub T);

impl<T: FromStr> FromRequest for PathId<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let id = request
            .match_info()
            .get("id")
            .and_then(|text| text.parse().ok());
        ready(
            id.map(Self)
                .ok_or_else(|| Problem::new(ProblemCode::NotFound)),
        )
    }
}

/// The query of a request while it is read. What nobody asks for is a problem.
pub struct Query {
    given: BTreeMap<String, String>,
    problems: FieldProblems,
}

impl Query {
    /// Takes the query of a request.
    pub fn of(request: &HttpRequest) -> Self {
        let mut problems = FieldProblems::default();
        let mut given = BTreeMap::new();
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(request.query_string()).unwrap_or_default();
        for (name, value) in pairs {
            if given.insert(name.clone(), value).is_some() {
                problems.parameter(&name, ProblemCode::InvalidValue, "is given more than once");
            }
        }
        Self { given, problems }
    }

    /// A parameter as text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.given.remove(name)
    }

    /// A parameter that is read by `read`; `what` is what it should have been.
    pub fn read<T>(
        &mut self,
        name: &str,
        code: ProblemCode,
        what: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.given.remove(name)?;
        let value = read(&text);
        if value.is_none() {
            self.problems
                .parameter(name, code, format!("is not {what}"));
        }
        value
    }

    /// How many rows the page shows.
    pub fn limit(&mut self) -> usize {
        let what = format!("a number from 1 to {PAGE_MAX}");
        self.read("limit", ProblemCode::OutOfRange, &what, |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
        })
        .unwrap_or(PAGE_DEFAULT)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All that was wrong, parameters that do not exist included.
    pub fn finish(mut self) -> Result<(), Problem> {
        for name in self.given.keys() {
            let detail = format!("there is no parameter `{name}`");
            self.problems
                .parameter(name, ProblemCode::UnknownParameter, detail);
        }
        self.problems.finish()
    }
}
