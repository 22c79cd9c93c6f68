//! The file of a job as rows. Where rows are on servers, a node's disk is its own, and the node
//! that goes on with an import may be another than the one that took the file.

use std::fs::{self, File};
use std::io::{self, Read, Write};

use engine::runtime::{Runtime, WorkLost};
use engine::store::{Store, StoreError};
use futures::{TryStreamExt, stream};
use schemas::JobId;
use schemas::job::{JobFilePiece, PIECE_BYTES};

use super::Imports;

/// Pieces that are written at once: 2 MiB of them.
const AT_ONCE: usize = 8;

/// A file was not made rows, or rows not a file.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The rows failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file did.
    #[error("the file of a job: {0}")]
    File(#[from] io::Error),
    /// The process ends.
    #[error(transparent)]
    WorkLost(#[from] WorkLost),
}

/// Makes rows of a job's file, where other nodes may have to read it. Done twice it does the same.
///
/// # Errors
/// [`SharedError`]; some of the rows may be there then.
pub async fn share(
    imports: &Imports,
    store: &Store,
    runtime: &Runtime,
    job: JobId,
) -> Result<(), SharedError> {
    if !imports.are_shared() {
        return Ok(());
    }
    let path = imports.file_of(job);
    let file = runtime.blocking(move || File::open(path)).await??;
    let pieces = stream::try_unfold(Some((file, 0)), |rest| async move {
        let Some((file, piece)) = rest else {
            return Ok(None);
        };
        let (file, bytes) = runtime.blocking(move || read_piece(file)).await??;
        let is_last = bytes.len() < PIECE_BYTES;
        let row = JobFilePiece { job, piece, bytes };
        let rest = (!is_last).then_some((file, piece + 1));
        Ok::<_, SharedError>(Some((row, rest)))
    });
    let written = pieces.try_for_each_concurrent(AT_ONCE, |row| async move {
        store.put_once(&row).await?;
        Ok(())
    });
    written.await
}

/// Makes the file of a job from its rows, durably, unless it is there or lies on this node alone.
/// Where there are no rows, there is no file afterwards.
///
/// # Errors
/// [`SharedError`]; there is no file then.
pub(super) async fn bring(
    imports: &Imports,
    store: &Store,
    runtime: &Runtime,
    job: JobId,
) -> Result<(), SharedError> {
    if !imports.are_shared() {
        return Ok(());
    }
    let path = imports.file_of(job);
    if runtime.blocking(move || fs::exists(path)).await?? {
        return Ok(());
    }
    let unfinished = imports.unfinished_of(job);
    let (mut file, mut piece) = (None, 0);
    loop {
        let row = store.get(&JobFilePiece::key_of(job, piece)).await?;
        let Some(JobFilePiece { bytes, .. }) = row else {
            return Ok(());
        };
        let is_last = bytes.len() < PIECE_BYTES;
        let made = unfinished.clone();
        let write = move || {
            let mut file = file.map_or_else(|| File::create(made), Ok)?;
            file.write_all(&bytes)?;
            Ok::<_, io::Error>(file)
        };
        let written = runtime.blocking(write).await??;
        if is_last {
            let imports = imports.clone();
            let keep = move || imports.keep(&written, &unfinished, job);
            return Ok(runtime.blocking(keep).await??);
        }
        (file, piece) = (Some(written), piece + 1);
    }
}

/// Removes the file of a job that is over, where the node that had the turn before may have it, too;
/// or that another node reads in.
///
/// # Errors
/// [`WorkLost`] when the process ends.
pub async fn forget(imports: &Imports, runtime: &Runtime, job: JobId) -> Result<(), WorkLost> {
    if !imports.are_shared() {
        return Ok(());
    }
    let path = imports.file_of(job);
    if let Err(error) = runtime.blocking(move || fs::remove_file(path)).await? {
        tracing::warn!(%error, "the file of an import stays on the disk");
    }
    Ok(())
}

/// The next piece of a file; a shorter one, or an empty one, at its end.
fn read_piece(mut file: File) -> io::Result<(File, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(PIECE_BYTES);
    let mut rest = (&mut file).take(PIECE_BYTES as u64);
    rest.read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use engine::runtime::Runtime;
    use engine::storage::{JournalSettings, Storage};
    use engine::store::MemoryKv;
    use schemas::job::PIECE_BYTES;
    use schemas::{JobId, PartitionCount};

    use super::{bring, share};
    use crate::import::Imports;

    /// What one node has shared another one brings to its disk, wherever the last piece ends;
    /// what nobody has shared, nobody has.
    #[test]
    fn a_file_comes_to_another_disk_as_it_was() {
        let tasks = tokio::runtime::Builder::new_multi_thread().build();
        let tasks = tasks.expect("threads");
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let settings = JournalSettings {
            partitions: PartitionCount::ONE,
            owners: PartitionCount::ONE,
            trim: true,
        };
        let storage = Storage::in_memory(MemoryKv::new(), &runtime, settings);
        let store = storage.expect("storage").store;
        let folder = std::env::temp_dir().join(format!("volley-shared-{}", std::process::id()));
        let (here, there) = (folder.join("here"), folder.join("there"));
        let (here, there) = (Imports::shared(here), Imports::shared(there));
        here.prepare().and(there.prepare()).expect("folders");
        tasks.block_on(async {
            for (number, length) in [1, PIECE_BYTES - 1, PIECE_BYTES, 20 * PIECE_BYTES + 7]
                .into_iter()
                .enumerate()
            {
                let job = JobId::from_bytes([u8::try_from(number).expect("few"); 16]);
                let nothing = bring(&there, &store, &runtime, job).await;
                nothing.expect("nothing");
                let brought = there.file_of(job);
                assert!(!brought.exists(), "nobody has shared it");
                let bytes: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
                fs::write(here.file_of(job), &bytes).expect("a file");
                for _ in 0..2 {
                    let shared = share(&here, &store, &runtime, job).await;
                    shared.expect("it is shared");
                }
                let done = bring(&there, &store, &runtime, job).await;
                done.expect("brought");
                assert_eq!(fs::read(brought).expect("it is there"), bytes, "{length}");
            }
        });
        fs::remove_dir_all(folder).expect("it can go");
    }
}
