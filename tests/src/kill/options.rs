//! The command line of `kill`.

use std::path::PathBuf;

use crate::world::seed;

const USAGE: &str = "kill [--kills 200] [--seed N] [--folder DIR] \
                     [--only campaigns|commands|disk|damage|nodes] \
                     [--recipients 1000000] [--commands 20] [--nodes 20]";

/// Recipients of the campaign that gets commands, where it is one part of many; and where
/// it is all there is.
const RECIPIENTS: u32 = 30_000;
const RECIPIENTS_ALONE: u32 = 1_000_000;

/// Recipients of the campaign of nodes on servers, and how often one of the nodes is disturbed.
const RECIPIENTS_OF_NODES: u32 = 200_000;
const DISTURBANCES_OF_NODES: u32 = 20;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// So many `kill -9`, over as many campaigns as it takes.
    pub kills: u64,
    /// Draws moments and kinds.
    pub seed: u64,
    /// Where nodes have their folders: on a disk.
    pub folder: PathBuf,
    /// So many commands and kills, on one campaign.
    pub commands: usize,
    /// Its recipients.
    pub recipients: u32,
    /// So many disturbances of nodes on servers, which need Java 17 and Maven: none unless asked
    /// for.
    pub nodes: u32,
    /// Whether a disk fills up.
    pub disk: bool,
    /// Whether files are damaged.
    pub damage: bool,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// How it must be.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            kills: 200,
            seed: seed(None),
            folder: PathBuf::from("target/kills"),
            commands: 20,
            recipients: RECIPIENTS,
            nodes: 0,
            disk: true,
            damage: true,
        };
        let mut recipients = None;
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            let number = || value.parse::<u64>().map_err(|_| USAGE);
            match name.as_str() {
                "--kills" => options.kills = number()?,
                "--seed" => options.seed = number()?,
                "--folder" => options.folder = PathBuf::from(value),
                "--nodes" => options.nodes = value.parse().map_err(|_| USAGE)?,
                "--commands" => options.commands = value.parse().map_err(|_| USAGE)?,
                "--recipients" => recipients = Some(value.parse().map_err(|_| USAGE)?),
                "--only" => options.only(&value)?,
                _ => return Err(USAGE.to_owned()),
            }
        }
        options.recipients = recipients.unwrap_or(options.recipients);
        Ok(options)
    }

    fn only(&mut self, part: &str) -> Result<(), String> {
        let (kills, commands) = (self.kills, self.commands);
        (self.kills, self.commands, self.disk, self.damage) = match part {
            "campaigns" => (kills, 0, false, false),
            "commands" => (0, commands, false, false),
            "disk" => (0, 0, true, false),
            "damage" => (0, 0, false, true),
            "nodes" if cfg!(feature = "cluster") => (0, 0, false, false),
            "nodes" => return Err("nodes need --features cluster".to_owned()),
            _ => return Err(USAGE.to_owned()),
        };
        if part == "commands" {
            self.recipients = RECIPIENTS_ALONE;
        }
        if part == "nodes" {
            self.recipients = RECIPIENTS_OF_NODES;
            if self.nodes == 0 {
                self.nodes = DISTURBANCES_OF_NODES;
            }
        }
        Ok(())
    }
}
