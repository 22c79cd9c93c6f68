//! `[node]` and `[journal]`: where a node keeps what it knows.

use std::path::PathBuf;

use schemas::PartitionCount;

use super::error::SettingsError;
use super::layers::Layers;

/// Section `[node]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// `VOLLEY_NODE__DATA`: the folder that holds everything.
    pub data: PathBuf,
    /// `VOLLEY_NODE__PARTITIONS`: how many partitions share the work.
    pub partitions: PartitionCount,
}

/// Section `[journal]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalSettings {
    /// `VOLLEY_JOURNAL__TRIM`: whether records that every projection includes are dropped.
    pub trim: bool,
}

impl NodeSettings {
    pub(super) fn read(layers: &mut Layers) -> Result<Self, SettingsError> {
        let mut section = layers.section("node");
        let settings = Self {
            data: section.checked("data", |path: PathBuf| {
                let given = !path.as_os_str().is_empty();
                given
                    .then_some(path)
                    .ok_or_else(|| "names no folder".to_owned())
            })?,
            partitions: section.checked("partitions", |count: u16| {
                PartitionCount::new(count).map_err(|error| error.to_string())
            })?,
        };
        section.finish()?;
        Ok(settings)
    }
}

impl JournalSettings {
    pub(super) fn read(layers: &mut Layers) -> Result<Self, SettingsError> {
        let mut section = layers.section("journal");
        let settings = Self {
            trim: section.required("trim")?,
        };
        section.finish()?;
        Ok(settings)
    }
}
