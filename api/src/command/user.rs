//! Commands that ask a node over its REST API, as any of its users would.

use clap::Args;
use engine::client::NodeClient;
use engine::runtime::Runtime;
use schemas::Secret;

use super::serving::Failed;
use super::{complain, tokio_runtime};
use crate::exit::Exit;

/// Which node is asked, and by whom.
#[derive(Args)]
pub(super) struct UserArguments {
    /// Where the node is.
    #[arg(
        long,
        value_name = "URL",
        env = "VOLLEY_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    /// An API key of the account; better in the environment, where other users of the machine
    /// cannot read it.
    #[arg(long, value_name = "KEY", env = "VOLLEY_KEY", hide_env_values = true)]
    key: String,
}

impl std::fmt::Debug for UserArguments {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "UserArguments({})", self.url)
    }
}

impl UserArguments {
    /// Does `work` with a client of the node.
    pub(super) fn run(
        self,
        work: impl AsyncFnOnce(NodeClient, Runtime) -> Result<Exit, Failed>,
    ) -> Exit {
        let tokio = match tokio_runtime() {
            Ok(tokio) => tokio,
            Err(exit) => return exit,
        };
        let runtime = Runtime::of_machine(tokio.handle().clone());
        let done = tokio.block_on(async {
            let client = NodeClient::new(&self.url, Secret::new(self.key))?;
            work(client, runtime).await
        });
        done.unwrap_or_else(|failed| {
            complain(&failed.message);
            failed.exit
        })
    }
}
