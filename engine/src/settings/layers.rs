//! Layers: the built-in sample, a file, the environment. Each later one wins key by
//! key, and every value remembers where it came from, so an error can say it.

use std::collections::BTreeMap;
use std::path::Path;

use schemas::Secret;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::InForce;
use super::error::{SettingsError, Source, nearest};

/// The section of the provider accounts: a list of tables, not one table.
const PROVIDERS: &str = "providers";
/// Keys of sections that hold secrets.
const SECRETS: [(&str, &str); 2] = [("cql", "password"), ("kafka", "password")];
/// What our environment variables start with.
const PREFIX: &str = "VOLLEY_";

/// One value and where it came from.
struct Entry {
    value: Value,
    /// The variable's text as it was, where the value came from the environment: a
    /// text such as `123` may be meant as a number or as a text.
    text: Option<String>,
    origin: Source,
}

/// One provider account's table and where it came from.
pub(super) struct ProviderTable {
    pub(super) table: Table,
    pub(super) origin: Source,
}

impl ProviderTable {
    /// The account's name, where it has one.
    pub(super) fn name(&self) -> Option<&str> {
        self.table.get("name").and_then(Value::as_str)
    }
}

/// All layers, merged.
pub(super) struct Layers {
    sections: BTreeMap<String, BTreeMap<String, Entry>>,
    pub(super) providers: Vec<ProviderTable>,
}

impl Layers {
    /// The lowest layer: the built-in sample. It decides which sections exist.
    pub(super) fn of_sample(text: &str) -> Result<Self, SettingsError> {
        let table = parse(text, &Source::Default)?;
        let mut layers = Self {
            sections: table
                .keys()
                .map(|name| (name.clone(), BTreeMap::new()))
                .collect(),
            providers: Vec::new(),
        };
        layers.add_table(table, &Source::Default)?;
        Ok(layers)
    }

    /// Puts a file on top.
    pub(super) fn add_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|cause| SettingsError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        let origin = Source::File(path.to_owned());
        let table = parse(&text, &origin)?;
        self.add_table(table, &origin)
    }

    fn add_table(&mut self, table: Table, origin: &Source) -> Result<(), SettingsError> {
        for (name, value) in table {
            if name == PROVIDERS {
                self.add_providers(value, origin)?;
                continue;
            }
            let Some(section) = self.sections.get_mut(&name) else {
                return Err(self.unknown_section(&name, origin));
            };
            let Value::Table(entries) = value else {
                return Err(SettingsError::InvalidValue {
                    origin: origin.clone(),
                    problem: format!("is a section: write `[{name}]` above its keys"),
                    key: name,
                });
            };
            section.extend(entries.into_iter().map(|(key, value)| {
                let origin = origin.clone();
                (
                    key,
                    Entry {
                        value,
                        text: None,
                        origin,
                    },
                )
            }));
        }
        Ok(())
    }

    fn add_providers(&mut self, value: Value, origin: &Source) -> Result<(), SettingsError> {
        let not_tables = || SettingsError::InvalidValue {
            origin: origin.clone(),
            key: PROVIDERS.to_owned(),
            problem: "is a list of tables: write `[[providers]]` above each account".to_owned(),
        };
        let Value::Array(accounts) = value else {
            return Err(not_tables());
        };
        for account in accounts {
            let Value::Table(table) = account else {
                return Err(not_tables());
            };
            let origin = origin.clone();
            self.providers.push(ProviderTable { table, origin });
        }
        Ok(())
    }

    fn unknown_section(&self, name: &str, origin: &Source) -> SettingsError {
        let known = self.sections.keys().map(String::as_str);
        SettingsError::UnknownKey {
            origin: origin.clone(),
            key: name.to_owned(),
            nearest: nearest(name, known.chain([PROVIDERS])).map(str::to_owned),
        }
    }

    /// Puts one environment variable on top. Only `VOLLEY_SECTION__KEY` is ours;
    /// others that start alike (orchestrators set `VOLLEY_PORT`) are left alone,
    /// unless a single underscore was clearly meant to be two.
    pub(super) fn add_variable(&mut self, name: &str, text: &str) -> Result<(), SettingsError> {
        let Some(path) = name.strip_prefix(PREFIX) else {
            return Ok(());
        };
        let origin = Source::Variable(name.to_owned());
        let path = path.to_lowercase();
        let Some((section, key)) = path.split_once("__") else {
            return self.refuse_single_underscore(&path, origin);
        };
        let value = parse_value(text);
        if section == PROVIDERS {
            return self.set_provider_key(key, value, origin);
        }
        let Some(entries) = self.sections.get_mut(section) else {
            return Err(self.unknown_section(section, &origin));
        };
        let text = Some(text.to_owned());
        entries.insert(
            key.to_owned(),
            Entry {
                value,
                text,
                origin,
            },
        );
        Ok(())
    }

    fn refuse_single_underscore(&self, path: &str, origin: Source) -> Result<(), SettingsError> {
        let meant = path.split_once('_').filter(|(section, key)| {
            self.sections
                .get(*section)
                .is_some_and(|entries| entries.contains_key(*key))
        });
        let Some((section, key)) = meant else {
            return Ok(());
        };
        let variable = format!("{PREFIX}{section}__{key}").to_uppercase();
        Err(SettingsError::UnknownKey {
            origin,
            key: path.to_owned(),
            nearest: Some(variable),
        })
    }

    fn set_provider_key(
        &mut self,
        path: &str,
        value: Value,
        origin: Source,
    ) -> Result<(), SettingsError> {
        let (name, key) = path.split_once("__").unwrap_or((path, ""));
        let account = self.providers.iter_mut().find(|account| {
            account
                .name()
                .is_some_and(|of_account| of_account.to_lowercase() == name)
        });
        match account {
            Some(account) if !key.is_empty() => {
                account.table.insert(key.to_owned(), value);
                Ok(())
            }
            Some(_) | None => Err(SettingsError::InvalidValue {
                origin,
                key: format!("{PROVIDERS}.{name}"),
                problem: "names no provider account and key of it".to_owned(),
            }),
        }
    }

    /// Puts one value of the command line on top.
    pub(super) fn add_option(
        &mut self,
        section: &str,
        key: &str,
        text: &str,
        option: &'static str,
    ) {
        let entry = Entry {
            value: Value::String(text.to_owned()),
            text: None,
            origin: Source::Option(option),
        };
        self.sections
            .entry(section.to_owned())
            .or_default()
            .insert(key.to_owned(), entry);
    }

    /// Every value of the sections as it stands now, but for secrets: of those it only tells
    /// that they are set. Accounts of providers are not among them.
    pub(super) fn in_force(&self) -> Vec<InForce> {
        let mut all = Vec::new();
        for (section, entries) in &self.sections {
            all.extend(entries.iter().map(|(key, entry)| InForce {
                key: format!("{section}.{key}"),
                value: match entry.value.as_str() {
                    _ if SECRETS.contains(&(section.as_str(), key.as_str())) => "(set)".to_owned(),
                    Some(text) => text.to_owned(),
                    None => entry.value.to_string(),
                },
                source: entry.origin.clone(),
            }));
        }
        all
    }

    /// Takes one section out to be read.
    pub(super) fn section(&mut self, name: &'static str) -> Section {
        Section {
            name,
            entries: self.sections.remove(name).unwrap_or_default(),
            asked: Vec::new(),
        }
    }
}

/// A section while it is read. Whatever nobody asked for is unknown.
pub(super) struct Section {
    name: &'static str,
    entries: BTreeMap<String, Entry>,
    asked: Vec<&'static str>,
}

impl Section {
    /// A key that the sample sets, so it always has a value.
    pub(super) fn required<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Result<T, SettingsError> {
        self.checked(key, Ok)
    }

    /// As [`Section::required`], with a check that a type cannot express.
    pub(super) fn checked<R: DeserializeOwned, T>(
        &mut self,
        key: &'static str,
        check: impl FnOnce(R) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        self.optional(key, check)?
            .ok_or_else(|| SettingsError::Missing {
                key: format!("{}.{key}", self.name),
                cure: "write it into the settings file".to_owned(),
            })
    }

    /// A key that may be left out.
    pub(super) fn optional<R: DeserializeOwned, T>(
        &mut self,
        key: &'static str,
        check: impl FnOnce(R) -> Result<T, String>,
    ) -> Result<Option<T>, SettingsError> {
        self.asked.push(key);
        let Some(entry) = self.entries.remove(key) else {
            return Ok(None);
        };
        let typed = entry
            .value
            .try_into::<R>()
            .or_else(|error| match entry.text {
                Some(text) => Value::String(text).try_into::<R>().map_err(|_| error),
                None => Err(error),
            });
        let problem = match typed
            .map_err(|error| error.message().to_owned())
            .and_then(check)
        {
            Ok(value) => return Ok(Some(value)),
            Err(problem) => problem,
        };
        Err(SettingsError::InvalidValue {
            origin: entry.origin,
            key: format!("{}.{key}", self.name),
            problem,
        })
    }

    /// A secret that may be left out. Taken as it is, since an error about its type would show
    /// it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "whatever else it is, it is no text"
    )]
    pub(super) fn secret(&mut self, key: &'static str) -> Result<Option<Secret>, SettingsError> {
        self.optional(key, |value: Value| match value {
            Value::String(text) => Ok(Secret::new(text)),
            // A variable's text that looks like one.
            Value::Integer(number) => Ok(Secret::new(number.to_string())),
            _ => Err("is not a text: write it in quotes".to_owned()),
        })
    }

    /// Refuses keys of which some are given and others are not.
    pub(super) fn all_or_none<const N: usize>(
        &self,
        given: [(&str, bool); N],
    ) -> Result<(), SettingsError> {
        let find = |is_given| given.iter().find(|(_, it)| *it == is_given);
        let (Some((given, _)), Some((missing, _))) = (find(true), find(false)) else {
            return Ok(());
        };
        Err(SettingsError::Missing {
            key: format!("{}.{missing}", self.name),
            cure: format!("{}.{given} is: set all of them or none", self.name),
        })
    }

    /// Why a key that is about TLS cannot be there.
    pub(super) fn unused_without_tls(&self, key: &str) -> SettingsError {
        let name = self.name;
        SettingsError::Missing {
            key: format!("{name}.tls"),
            cure: format!("{name}.{key} is of no use without: write `tls = true`, or drop it"),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`SettingsError::UnknownKey`] when a key is left that nobody asked for.
    pub(super) fn finish(self) -> Result<(), SettingsError> {
        let Some((key, entry)) = self.entries.into_iter().next() else {
            return Ok(());
        };
        Err(SettingsError::UnknownKey {
            origin: entry.origin,
            nearest: nearest(&key, self.asked.iter().copied())
                .map(|nearest| format!("{}.{nearest}", self.name)),
            key: format!("{}.{key}", self.name),
        })
    }
}

fn parse(text: &str, origin: &Source) -> Result<Table, SettingsError> {
    text.parse::<Table>().map_err(|error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or("");
        SettingsError::Syntax {
            origin: origin.clone(),
            line: before.matches('\n').count() + 1,
            // The parser's own display would show the line, and with it a secret.
            problem: error.message().to_owned(),
        }
    })
}

/// A variable's text as TOML if it is that (`8`, `true`, `["a"]`), else as a text.
fn parse_value(text: &str) -> Value {
    format!("value = {text}")
        .parse::<Table>()
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}
