//! `volley migrate`: makes the tables of a CQL store, or brings them to this release's version.

use clap::Args;
use engine::settings::Settings;
use engine::store::cql::{self, Migrated};

use super::{Ground, SettingsArguments, complain, give};
use crate::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let Ground {
        settings,
        tokio,
        runtime,
    } = match Ground::of(&arguments.settings, None) {
        Ok(ground) => ground,
        Err(exit) => return exit,
    };
    match tokio.block_on(cql::migrate(&settings.cql, &runtime)) {
        Ok(migrated) => {
            give(&told(&settings, &migrated));
            Exit::Success
        }
        Err(error) => {
            complain(&error);
            Exit::Failure
        }
    }
}

fn told(settings: &Settings, migrated: &Migrated) -> String {
    let keyspace = &settings.cql.keyspace;
    let made = match migrated.made_keyspace {
        true => format!(
            "made keyspace {keyspace}, {} copies in each data centre\n",
            settings.cql.replication
        ),
        false => String::new(),
    };
    if migrated.from == migrated.to {
        return format!(
            "{made}nothing to do: keyspace {keyspace} has version {} of the tables",
            migrated.to
        );
    }
    format!(
        "{made}keyspace {keyspace} went from version {} of the tables to {}: {}",
        migrated.from,
        migrated.to,
        migrated.tables.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use engine::settings::Settings;
    use engine::store::cql::Migrated;

    use super::told;

    #[test]
    fn it_says_what_it_did() {
        let settings = Settings::load(None, []).expect("the sample");
        let nothing = Migrated {
            made_keyspace: false,
            from: 1,
            to: 1,
            tables: Vec::new(),
        };
        assert_eq!(
            told(&settings, &nothing),
            "nothing to do: keyspace volley has version 1 of the tables"
        );
        let all = Migrated {
            made_keyspace: true,
            from: 0,
            tables: vec!["accounts", "api_keys"],
            ..nothing
        };
        assert_eq!(
            told(&settings, &all),
            "made keyspace volley, 3 copies in each data centre\n\
             keyspace volley went from version 0 of the tables to 1: accounts, api_keys"
        );
    }
}
