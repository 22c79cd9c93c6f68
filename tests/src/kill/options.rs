//! The command line of `kill`.

use std::path::PathBuf;

use crate::world::seed;

const USAGE: &str = "kill [--kills 200] [--seed N] [--folder DIR] [--only campaigns|disk|damage]";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// So many `kill -9`, over as many campaigns as it takes.
    pub kills: u64,
    /// Draws moments and kinds.
    pub seed: u64,
    /// Where nodes have their folders: on a disk.
    pub folder: PathBuf,
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
            disk: true,
            damage: true,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(USAGE)?;
            let number = || value.parse::<u64>().map_err(|_| USAGE);
            match name.as_str() {
                "--kills" => options.kills = number()?,
                "--seed" => options.seed = number()?,
                "--folder" => options.folder = PathBuf::from(value),
                "--only" => options.only(&value)?,
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    fn only(&mut self, part: &str) -> Result<(), String> {
        match part {
            "campaigns" => (self.disk, self.damage) = (false, false),
            "disk" => (self.kills, self.damage) = (0, false),
            "damage" => (self.kills, self.disk) = (0, false),
            _ => return Err(USAGE.to_owned()),
        }
        Ok(())
    }
}
