//! `volley serve` as people run it, with its doors, and what its users ask of it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use engine::client::{NodeClient, RootKeyFile};

use crate::customer;
use crate::engine_run::RunStore;
use crate::failure::{BenchError, machine, refused};
use crate::machine::{boot_micros, peak_memory_bytes_of};
use crate::node::ACCOUNT;

/// How often a node that is starting is looked for, and for how long, in microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const STARTS_WITHIN: u64 = 30_000_000;

/// A node. Dropping it kills it.
pub struct Serving(Child);

impl Serving {
    /// Starts it with a settings file of this text, and does not wait until it serves.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(store: &RunStore, text: &str) -> Result<Self, BenchError> {
        let failed = machine("the node cannot be started");
        let settings = store.folder.with_extension("toml");
        let program = std::env::current_exe().map_err(&failed)?;
        fs::write(&settings, text).map_err(&failed)?;
        let child = Command::new(program)
            .env_clear()
            .arg("serve")
            .arg("--config")
            .arg(settings)
            .arg("--data")
            .arg(&store.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        child.map(Self).map_err(failed)
    }

    /// The holder of the root key and the node's address, once it serves.
    ///
    /// # Errors
    /// When it does not serve within half a minute.
    pub async fn root(&self, store: &RunStore) -> Result<(NodeClient, String), BenchError> {
        let until = boot_micros() + STARTS_WITHIN;
        let file = loop {
            match RootKeyFile::read(&store.folder) {
                Ok(file) => break file,
                Err(cause) if boot_micros() > until => {
                    return Err(machine("the node does not serve")(cause));
                }
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        };
        let root = NodeClient::new(&file.url, file.key).map_err(refused("a key"))?;
        Ok((root, file.url))
    }

    /// A user of the account that the store was prepared with, once the node serves.
    ///
    /// # Errors
    /// When it does not serve within half a minute, or refuses.
    pub async fn user(&self, store: &RunStore) -> Result<NodeClient, BenchError> {
        let root = self.root(store).await?;
        let (client, _) = customer::user_of(&root, ACCOUNT).await?;
        Ok(client)
    }

    /// Its process id.
    #[cfg(feature = "cluster")]
    pub fn process(&self) -> u32 {
        self.0.id()
    }

    /// The most memory that it ever held at once, in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        peak_memory_bytes_of(&self.0.id().to_string())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
