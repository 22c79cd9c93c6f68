//! `volley account create` and `volley key create`: on a folder that nobody serves
//! they open it, else they ask the node that does, with the root key in the folder.

use clap::Subcommand;
use engine::client::NodeClient;
use engine::runtime::Runtime;
use engine::settings::Settings;
use engine::storage::Storage;
use engine::store::{FolderError, OpenError};
#[cfg(feature = "cluster")]
use engine::store::{Store, cql};
use schemas::AccountId;
use schemas::account::Account;

use super::serving::{Failed, serving_node};
use super::{Ground, SettingsArguments, end, give, tell};
use crate::accounts;
use crate::exit::Exit;
use crate::node::open_storage;

#[derive(Debug, Subcommand)]
pub(super) enum AccountCommand {
    /// Make an account and print its id.
    Create {
        /// What people call it.
        name: String,
        #[command(flatten)]
        settings: SettingsArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make an API key and print its secret, this once.
    Create {
        /// The account's id, `acc_…`.
        account: AccountId,
        /// What people call the key.
        #[arg(long, default_value = "default")]
        name: String,
        #[command(flatten)]
        settings: SettingsArguments,
    },
}

pub(super) fn run_account(command: &AccountCommand) -> Exit {
    let AccountCommand::Create { name, settings } = command;
    run(settings, async |door| {
        let id = door.create_account(name).await?;
        give(&id.to_string());
        tell(&format!("make a key for it with: volley key create {id}"));
        Ok(())
    })
}

pub(super) fn run_key(command: &KeyCommand) -> Exit {
    let KeyCommand::Create {
        account,
        name,
        settings,
    } = command;
    run(settings, async |door| {
        let secret = door.create_key(*account, name).await?;
        give(&secret);
        tell("keep it: it is shown this once and not stored");
        Ok(())
    })
}

/// Either way in.
enum Door {
    Folder(Box<Storage>, Runtime),
    /// Servers, which may be written to beside the nodes that use them.
    #[cfg(feature = "cluster")]
    Servers(Store, Runtime),
    Node(NodeClient),
}

impl Door {
    async fn open(settings: &Settings, runtime: &Runtime) -> Result<Self, Failed> {
        #[cfg(feature = "cluster")]
        if settings.is_on_servers() {
            let store = cql::connect(&settings.cql, runtime).await?;
            return Ok(Self::Servers(store, runtime.clone()));
        }
        match open_storage(settings, runtime) {
            Ok(storage) => Ok(Self::Folder(Box::new(storage), runtime.clone())),
            Err(error @ OpenError::Folder(FolderError::InUse { .. })) => {
                Ok(Self::Node(serving_node(settings, &error)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn create_account(&self, name: &str) -> Result<AccountId, Failed> {
        let (store, runtime) = match self {
            Self::Folder(storage, runtime) => (&storage.store, runtime),
            #[cfg(feature = "cluster")]
            Self::Servers(store, runtime) => (store, runtime),
            Self::Node(client) => return Ok(client.create_account(name).await?.id),
        };
        let (name, weight) = (name.to_owned(), Account::plain_weight());
        let account = accounts::create_account(store, runtime, name, weight, None);
        Ok(account.await?.id)
    }

    async fn create_key(&self, account: AccountId, name: &str) -> Result<String, Failed> {
        let (store, runtime) = match self {
            Self::Folder(storage, runtime) => (&storage.store, runtime),
            #[cfg(feature = "cluster")]
            Self::Servers(store, runtime) => (store, runtime),
            Self::Node(client) => return Ok(client.create_key(account, name).await?.secret),
        };
        let made = accounts::create_key(store, runtime, account, name.to_owned()).await?;
        let (_, secret) = made.ok_or_else(|| Failed {
            message: format!("there is no account {account}"),
            exit: Exit::Failure,
        })?;
        Ok(secret.expose().to_owned())
    }

    /// Lets go of the folder.
    async fn close(self) {
        match self {
            Self::Folder(storage, _) => {
                let mut closed = storage.closed.clone();
                drop(storage);
                closed.wait().await;
            }
            #[cfg(feature = "cluster")]
            Self::Servers(..) => {}
            Self::Node(_) => {}
        }
    }
}

fn run(settings: &SettingsArguments, work: impl AsyncFnOnce(&Door) -> Result<(), Failed>) -> Exit {
    let Ground {
        settings,
        tokio,
        runtime,
    } = match Ground::of(settings, None) {
        Ok(ground) => ground,
        Err(exit) => return exit,
    };
    let done = tokio.block_on(async {
        let door = Door::open(&settings, &runtime).await?;
        let done = work(&door).await;
        door.close().await;
        done
    });
    end(done)
}
