//! The customary environment variables of Twilio's own tools, which alone are enough
//! to send through a Twilio account.

use toml::{Table, Value};

use super::error::{SettingsError, Source};
use super::layers::{Layers, ProviderTable};

const ACCOUNT_SID: &str = "TWILIO_ACCOUNT_SID";
const AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";
const PHONE_NUMBER: &str = "TWILIO_PHONE_NUMBER";

/// The name of the provider account that the variables make.
const NAME: &str = "twilio";
/// Segments a second: what Twilio lets an ordinary US long code send, and a rate that
/// no kind of sender is slower than.
const SAFE_RATE: f64 = 1.0;

/// The three variables, as far as they are set and not empty.
#[derive(Default)]
pub(super) struct TwilioVariables {
    account_sid: Option<String>,
    auth_token: Option<String>,
    phone_number: Option<String>,
}

impl TwilioVariables {
    /// Takes a variable in if it is one of the three.
    pub(super) fn offer(&mut self, name: &str, text: &str) {
        let place = match name {
            ACCOUNT_SID => &mut self.account_sid,
            AUTH_TOKEN => &mut self.auth_token,
            PHONE_NUMBER => &mut self.phone_number,
            _ => return,
        };
        *place = Some(text.to_owned()).filter(|text| !text.is_empty());
    }

    /// Puts them on top: into the account named `twilio` if a file has one, else as an
    /// account of its own.
    pub(super) fn apply(self, layers: &mut Layers) -> Result<(), SettingsError> {
        let existing = layers
            .providers
            .iter_mut()
            .find(|account| account.name() == Some(NAME));
        if let Some(account) = existing {
            self.fill(&mut account.table);
            return Ok(());
        }
        let missing = match (&self.account_sid, &self.auth_token, &self.phone_number) {
            (None, None, None) => return Ok(()),
            (Some(_), Some(_), Some(_)) => None,
            (None, _, _) => Some(ACCOUNT_SID),
            (_, None, _) => Some(AUTH_TOKEN),
            (_, _, None) => Some(PHONE_NUMBER),
        };
        if let Some(missing) = missing {
            return Err(SettingsError::Missing {
                key: missing.to_owned(),
                cure: format!("set all of {ACCOUNT_SID}, {AUTH_TOKEN} and {PHONE_NUMBER}, or none"),
            });
        }
        let mut table = Table::new();
        table.insert("name".to_owned(), Value::String(NAME.to_owned()));
        table.insert("kind".to_owned(), Value::String("twilio".to_owned()));
        table.insert("rate".to_owned(), Value::Float(SAFE_RATE));
        self.fill(&mut table);
        let origin = Source::Variable(ACCOUNT_SID.to_owned());
        layers.providers.push(ProviderTable { table, origin });
        Ok(())
    }

    fn fill(self, table: &mut Table) {
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                table.insert(key.to_owned(), value);
            }
        };
        set("account_sid", self.account_sid.map(Value::String));
        set("auth_token", self.auth_token.map(Value::String));
        let senders = self
            .phone_number
            .map(|number| Value::Array(vec![Value::String(number)]));
        set("senders", senders);
    }
}
