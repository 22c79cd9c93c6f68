//! A campaign's body with holes for what is known about each contact.
//!
//! The language is minijinja's, compiled once per campaign and rendered once per contact. Nothing
//! in it reaches outside: there is no loader, no include, no global function, and fuel bounds the
//! work and the memory of one rendering. A field the contact does not have is an error rather
//! than a hole in the text; a field that is there and empty is an empty value.
//!
//! Most bodies are words and plain `{{ name }}` placeholders. Those are written directly from a
//! list of pieces; the result is the one minijinja gives, which a property test checks.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use schemas::contact::ContactFields;

/// Longest source of a template, in characters: room for a few conditions around the longest body.
pub const MAX_SOURCE_CHARS: usize = 4_096;

/// Longest rendered body, in characters: providers refuse more than 1,600 (Twilio's code 21617).
pub const MAX_BODY_CHARS: usize = 1_600;

/// Work one rendering may do. minijinja counts about one per instruction and per 64 bytes made, so
/// this is 640 KB at most; a body of 585 placeholders, the most a source can hold, needs under
/// 3,000.
const RENDER_FUEL: u64 = 10_000;

/// Macros that call macros: depth of a body that a person can still read.
const RECURSION_LIMIT: usize = 30;

/// The one name our templates have inside their environment; no file ending, so nothing is escaped.
const NAME: &str = "body";

/// Words that minijinja reads as syntax or constants, not as the name of a variable.
const RESERVED: [&str; 16] = [
    "true", "True", "false", "False", "none", "None", "not", "in", "is", "and", "or", "if", "else",
    "self", "loop", "super",
];

/// Why a source is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The source does not parse.
    #[error("template syntax error in line {line}: {reason}")]
    Syntax {
        /// Line of the source, from 1.
        line: usize,
        /// What the parser says about it.
        reason: String,
    },
    /// The source is longer than [`MAX_SOURCE_CHARS`].
    #[error("template has {length} characters, at most {MAX_SOURCE_CHARS} are allowed")]
    TooLarge {
        /// Characters of the source.
        length: usize,
    },
}

/// Why a template gives no body for one contact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The template needs a field that the contact does not have.
    #[error("contact has no field {}", name.as_deref().unwrap_or("that the template needs"))]
    MissingField {
        /// The field, unless several are missing and the template does not tell which one it met.
        name: Option<String>,
    },
    /// The template ran out of fuel or asked for something impossible.
    #[error("template cannot be rendered: {reason}")]
    Failed {
        /// The kind of failure; never holds values of the contact.
        reason: String,
    },
    /// The body has more than [`MAX_BODY_CHARS`] characters.
    #[error("rendered body is longer than {MAX_BODY_CHARS} characters")]
    TooLong,
    /// The body has no characters.
    #[error("rendered body is empty")]
    Empty,
}

/// A compiled template: immutable, shared by cloning, usable from every thread.
#[derive(Debug, Clone)]
pub struct Template(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    environment: Environment<'static>,
    /// The body as a plain list, if it is words and placeholders alone.
    pieces: Option<Vec<Piece>>,
    /// Names of the variables, in order.
    fields: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Words(String),
    Field(String),
}

impl Template {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`TemplateError`] if it is too large or does not parse.
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        let length = source.chars().count();
        if length > MAX_SOURCE_CHARS {
            return Err(TemplateError::TooLarge { length });
        }
        let mut environment = closed_environment();
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| TemplateError::Syntax {
                line: error.line().unwrap_or(1),
                reason: error
                    .detail()
                    .map_or_else(|| error.kind().to_string(), str::to_owned),
            })?;
        let mut fields: Vec<String> = environment
            .get_template(NAME)
            .map(|template| template.undeclared_variables(false).into_iter().collect())
            .unwrap_or_default();
        fields.sort_unstable();
        let pieces = plain_pieces(source);
        Ok(Self(Arc::new(Compiled {
            environment,
            pieces,
            fields,
        })))
    }

    /// The names of the fields the template mentions, in order; some may be optional to it
    /// (`{% if nickname is defined %}`).
    pub fn fields(&self) -> &[String] {
        &self.0.fields
    }

    /// Writes the body for a contact, neither trimmed nor changed in any other way.
    ///
    /// # Errors
    /// [`RenderError`] if a field is missing, the rendering fails, or the body is empty or too
    /// long.
    pub fn render(&self, fields: &ContactFields) -> Result<String, RenderError> {
        let body = match &self.0.pieces {
            Some(pieces) => write_pieces(pieces, fields)?,
            None => self.render_by_minijinja(fields)?,
        };
        if body.is_empty() {
            return Err(RenderError::Empty);
        }
        // No character is shorter than a byte, so most bodies need no counting.
        if body.len() > MAX_BODY_CHARS && body.chars().nth(MAX_BODY_CHARS).is_some() {
            return Err(RenderError::TooLong);
        }
        Ok(body)
    }

    fn render_by_minijinja(&self, fields: &ContactFields) -> Result<String, RenderError> {
        let context: BTreeMap<String, Value> = fields
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value)))
            .collect();
        self.0
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(Value::from(context)))
            .map_err(|error| self.explain(&error, fields))
    }

    /// Tells a missing field from a failure. minijinja does not say which variable was undefined,
    /// but if only one is missing, it was that one.
    fn explain(&self, error: &minijinja::Error, fields: &ContactFields) -> RenderError {
        let mut missing = self
            .0
            .fields
            .iter()
            .filter(|name| !fields.contains_key(*name));
        if is_undefined(error)
            && let Some(first) = missing.next()
        {
            let name = missing.next().is_none().then(|| first.clone());
            return RenderError::MissingField { name };
        }
        RenderError::Failed {
            reason: error.kind().to_string(),
        }
    }
}

fn is_undefined(error: &minijinja::Error) -> bool {
    if error.kind() == ErrorKind::UndefinedError {
        return true;
    }
    error
        .source()
        .and_then(|source| source.downcast_ref::<minijinja::Error>())
        .is_some_and(is_undefined)
}

fn closed_environment() -> Environment<'static> {
    let mut environment = Environment::new();
    // Without them a missing column named `range` or `dict` is missing, not a function.
    let globals: Vec<String> = environment
        .globals()
        .map(|(name, _)| name.to_owned())
        .collect();
    for name in &globals {
        environment.remove_global(name);
    }
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(RENDER_FUEL));
    environment.set_recursion_limit(RECURSION_LIMIT);
    // The body is sent as it was written, with the newline at its end.
    environment.set_syntax(
        SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .build()
            .unwrap_or_default(),
    );
    environment
}

/// Reads a source that is known to parse as words and `{{ name }}` alone; `None` if there is more.
fn plain_pieces(source: &str) -> Option<Vec<Piece>> {
    if source.contains("{%") || source.contains("{#") {
        return None;
    }
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some((words, after)) = rest.split_once("{{") {
        let (inner, following) = after.split_once("}}")?;
        let name = inner.trim_matches([' ', '\t', '\r', '\n']);
        if !is_plain_name(name) {
            return None;
        }
        if !words.is_empty() {
            pieces.push(Piece::Words(words.to_owned()));
        }
        pieces.push(Piece::Field(name.to_owned()));
        rest = following;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Words(rest.to_owned()));
    }
    Some(pieces)
}

fn is_plain_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_alphanumeric() || character == '_')
        && !RESERVED.contains(&name)
}

fn write_pieces(pieces: &[Piece], fields: &ContactFields) -> Result<String, RenderError> {
    let mut length = 0;
    for piece in pieces {
        length += value_of(piece, fields)?.len();
    }
    // No character is longer than four bytes: what is longer than this need not be written out.
    if length > 4 * MAX_BODY_CHARS {
        return Err(RenderError::TooLong);
    }
    let mut body = String::with_capacity(length);
    for piece in pieces {
        body.push_str(value_of(piece, fields)?);
    }
    Ok(body)
}

fn value_of<'a>(piece: &'a Piece, fields: &'a ContactFields) -> Result<&'a str, RenderError> {
    match piece {
        Piece::Words(words) => Ok(words),
        Piece::Field(name) => match fields.get(name) {
            Some(value) => Ok(value),
            None => Err(RenderError::MissingField {
                name: Some(name.clone()),
            }),
        },
    }
}

#[cfg(test)]
mod tests;
