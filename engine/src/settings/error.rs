//! What can be wrong with settings, told so that the operator finds the place.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The sample that is built in.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// An option of the command line.
    Option(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("the built-in defaults"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Variable(name) => write!(formatter, "environment variable {name}"),
            Self::Option(name) => write!(formatter, "option {name}"),
        }
    }
}

/// The settings cannot be used. No variant shows a value: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read settings file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}, line {line}: not valid TOML: {problem}")]
    Syntax {
        /// The file.
        origin: Source,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// A section or key that does not exist.
    #[error("{origin}: unknown setting `{key}`{}", suggestion(.nearest.as_deref()))]
    UnknownKey {
        /// Where it is written.
        origin: Source,
        /// The key with its section, such as `http.lisen`.
        key: String,
        /// The key that was probably meant.
        nearest: Option<String>,
    },
    /// A key with a value it cannot have.
    #[error("{origin}: `{key}`: {problem}")]
    InvalidValue {
        /// Where it is written.
        origin: Source,
        /// The key with its section.
        key: String,
        /// What is wrong with the value.
        problem: String,
    },
    /// A key that must be set and is not.
    #[error("`{key}` is not set: {cure}")]
    Missing {
        /// The key with its section, or the variable's name.
        key: String,
        /// What to do.
        cure: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!(", did you mean `{nearest}`?")
    })
}

/// The one of `known` that is nearest to `wrong`, if one is near at all.
pub(super) fn nearest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Jaro-Winkler below 0.8 finds words that share little more than a letter.
    const NEAR: f64 = 0.8;
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(wrong, word), word))
        .filter(|(similarity, _)| *similarity >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
