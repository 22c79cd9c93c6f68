//! The command line of `kill`.

use std::path::PathBuf;

use crate::world::seed;

const USAGE: &str = "kill [--kills 200] [--seed N] [--folder DIR] \
                     [--only campaigns|commands|disk|damage] \
                     [--recipients 1000000] [--commands 20]";

/// Recipients of the campaign that gets commands, where it is one part of many; and where
/// it is all there is.
const RECIPIENTS: u32 = 30_000;
const RECIPIENTS_ALONE: u32 = 1_000_000;

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
            _ => return Err(USAGE.to_owned()),
        };
        if part == "commands" {
            self.recipients = RECIPIENTS_ALONE;
        }
        Ok(())
    }
}
