//! `[[providers]]`: the provider accounts. Here only their names are read; the rest of
//! a table is the business of the provider's kind.

use toml::Value;

use super::error::SettingsError;
use super::layers::{Layers, ProviderTable};
use crate::provider::ProviderSettings;

/// The longest name of a provider account: it is a label on metrics and part of the
/// names of environment variables.
const NAME_CHARACTERS_MAX: usize = 64;

pub(super) fn read(layers: &mut Layers) -> Result<Vec<ProviderSettings>, SettingsError> {
    let mut accounts: Vec<ProviderSettings> = Vec::new();
    for (index, account) in std::mem::take(&mut layers.providers)
        .into_iter()
        .enumerate()
    {
        let account = read_one(index, account, &accounts)?;
        accounts.push(account);
    }
    Ok(accounts)
}

fn read_one(
    index: usize,
    account: ProviderTable,
    earlier: &[ProviderSettings],
) -> Result<ProviderSettings, SettingsError> {
    let origin = account.origin;
    let invalid = |key: String, problem: String| SettingsError::InvalidValue {
        origin: origin.clone(),
        key,
        problem,
    };
    let of_name = |problem: String| invalid(format!("providers[{index}].name"), problem);
    let name = match account.table.get("name") {
        Some(Value::String(name)) if is_name(name) => name.clone(),
        Some(_) => {
            return Err(of_name(format!(
                "is not a text of at most {NAME_CHARACTERS_MAX} letters, digits, - and _"
            )));
        }
        None => return Err(of_name("is not set".to_owned())),
    };
    if earlier
        .iter()
        .any(|other| other.name.eq_ignore_ascii_case(&name))
    {
        return Err(of_name("is the name of another account too".to_owned()));
    }
    // The message alone: the error's own display would show the line, secrets included.
    account.table.try_into().map_err(|error: toml::de::Error| {
        invalid(format!("providers.{name}"), error.message().to_owned())
    })
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_');
    (1..=NAME_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}
