//! Writes with a condition: put if absent, replace if the version is the one that was read.
//!
//! They are lightweight transactions: all on one partition at once are one after the other,
//! and each is done or not. When the answer does not come in time, nobody knows which, and the
//! write may even still be on its way. So each carries a mark of its own into the row
//! (`written_by`), and is read back at serial consistency, which waits for what is under way:
//! the mark tells whose row is there. When it is nobody's, the write is done again, which does
//! no harm, since it can be done once only.

use schemas::record::{Record, Versioned, WriteOnce};
use scylla::value::CqlValue;

use super::CqlRows;
use super::columns::{Cell, from_cells, keep_unknown, key_cells, to_cells};
use super::error::{failed, is_open};
use super::session::{CellPage, Failed};
use super::statement::Verb;
use super::table::{CqlTable, Schema};
use crate::store::error::StoreError;
use crate::store::{PutOnce, Replaced};

/// How often a write is done whose outcome stays open: after three times 6 seconds whoever
/// waits should hear of it.
const ATTEMPTS: u32 = 3;

/// What became of a conditional write.
enum Written {
    /// It is stored.
    Stored,
    /// Its condition did not hold: this row is there.
    Refused(Option<Vec<Cell>>),
}

/// A conditional write.
struct Write<'a> {
    table: &'static CqlTable,
    verb: Verb,
    /// What is bound.
    values: &'a [Cell],
    /// The key, to read it back.
    key: &'a [Cell],
    mark: &'a [u8],
}

impl CqlRows {
    pub(in crate::store) async fn put_once<R>(&self, row: &R) -> Result<PutOnce<R>, StoreError>
    where
        R: Record<Writing = WriteOnce>,
    {
        let table = Schema::table::<R>()?;
        let (mut cells, mark) = (to_cells(table, row)?, self.mark());
        set_mark(table, &mut cells, &mark)?;
        let write = Write {
            table,
            verb: Verb::PutOnce,
            values: &cells,
            key: &cells[..table.key_parts],
            mark: &mark,
        };
        match self.write(&write).await? {
            Written::Stored => Ok(PutOnce::Stored),
            Written::Refused(Some(cells)) => Ok(PutOnce::Exists(from_cells(table, &cells)?)),
            Written::Refused(None) => Err(failed(table.name, "a key was taken and is free again")),
        }
    }

    pub(in crate::store) async fn replace<R: Versioned>(
        &self,
        mut row: R,
    ) -> Result<Replaced<R>, StoreError> {
        let table = Schema::table::<R>()?;
        let read = row.version();
        row.set_version(read + 1);
        let (mut cells, mark) = (to_cells(table, &row)?, self.mark());
        set_mark(table, &mut cells, &mark)?;
        if read > 0 && table.has_json() {
            // When it is another version by then, the condition says so.
            let previous = self.read_row::<R>(Verb::Get, &row.key()).await?;
            if let Some(previous) = previous {
                keep_unknown::<R>(table, &previous, &mut cells)?;
            }
        }
        let key = key_cells(table, &row.key())?;
        let (verb, values) = if read == 0 {
            (Verb::PutOnce, cells)
        } else {
            let mut values = cells.split_off(table.key_parts);
            values.extend(key.iter().cloned());
            values.push(Some(CqlValue::BigInt(read.cast_signed())));
            (Verb::Replace, values)
        };
        let write = Write {
            table,
            verb,
            values: &values,
            key: &key,
            mark: &mark,
        };
        match self.write(&write).await? {
            Written::Stored => Ok(Replaced::Stored(row)),
            Written::Refused(cells) => {
                let there = cells.map(|cells| from_cells(table, &cells)).transpose()?;
                Ok(Replaced::Conflict(there))
            }
        }
    }

    /// 16 random bytes: no two writes have the same.
    fn mark(&self) -> [u8; 16] {
        self.access.runtime.random_bytes()
    }

    async fn write(&self, write: &Write<'_>) -> Result<Written, StoreError> {
        let table = write.table;
        let statement = self.access.prepare(table, write.verb).await?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let is_new = write.verb == Verb::PutOnce;
            let executed = self.access.attempt(table, &statement, is_new, write.values);
            let open = match executed.await {
                Ok(answer) => return self.of_answer(write, answer).await,
                Err(Failed::Execution(error)) if is_open(&error) => {
                    Failed::Execution(error).of(table)
                }
                Err(certain) => return Err(certain.of(table)),
            };
            tracing::debug!(table = table.name, error = %open, "a write is read back");
            if let Some(cells) = self.read_serial(write).await? {
                if has_mark(table, &cells, write.mark) {
                    return Ok(Written::Stored);
                }
                if write.verb == Verb::PutOnce {
                    return Ok(Written::Refused(Some(cells)));
                }
            }
            if attempt == ATTEMPTS {
                return Err(open);
            }
        }
    }

    /// Columns go by their names: ScyllaDB answers with all of them, Cassandra with
    /// `[applied]` alone, or with those of the condition as well.
    async fn of_answer(&self, write: &Write<'_>, answer: CellPage) -> Result<Written, StoreError> {
        let table = write.table;
        let place = |name: &str| answer.names.iter().position(|there| there == name);
        let row = answer.rows.first();
        let applied = row.zip(place("[applied]")).map(|(row, at)| row.get(at));
        match applied.flatten() {
            Some(Some(CqlValue::Boolean(true))) => return Ok(Written::Stored),
            Some(Some(CqlValue::Boolean(false))) => {}
            _ => {
                return Err(failed(
                    table.name,
                    "an answer does not say whether it was done",
                ));
            }
        }
        let places = table.columns.iter().map(|column| place(&column.name));
        let places: Option<Vec<usize>> = places.collect();
        let told = places.zip(row).map(|(places, row)| {
            let cells = places.into_iter().map(|at| row.get(at).cloned().flatten());
            cells.collect::<Vec<Cell>>()
        });
        // All of them null is no row.
        let told = told.filter(|cells| cells[..table.key_parts].iter().all(Option::is_some));
        let there = match told {
            Some(cells) => Some(cells),
            None => self.read_serial(write).await?,
        };
        match there {
            // An earlier attempt of this write was done after all.
            Some(cells) if has_mark(table, &cells, write.mark) => Ok(Written::Stored),
            there => Ok(Written::Refused(there)),
        }
    }

    async fn read_serial(&self, write: &Write<'_>) -> Result<Option<Vec<Cell>>, StoreError> {
        let statement = self.access.prepare(write.table, Verb::GetSerial).await?;
        let found = self
            .access
            .execute(write.table, &statement, write.key)
            .await?;
        Ok(found.rows.into_iter().next())
    }
}

fn set_mark(table: &CqlTable, cells: &mut [Cell], mark: &[u8]) -> Result<(), StoreError> {
    let column = table.write.and_then(|column| cells.get_mut(column));
    let column = column.ok_or_else(|| failed(table.name, "it has no column of the write"))?;
    *column = Some(CqlValue::Blob(mark.to_vec()));
    Ok(())
}

fn has_mark(table: &CqlTable, cells: &[Cell], mark: &[u8]) -> bool {
    let there = table.write.and_then(|column| cells.get(column));
    matches!(there, Some(Some(CqlValue::Blob(there))) if there == mark)
}
