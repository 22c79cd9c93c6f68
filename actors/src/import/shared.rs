//! The file of a job as rows. Where rows are on servers, a node's disk is its own, and the node
//! that goes on with an import may be another than the one that took the file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use engine::runtime::{Runtime, WorkLost};
use engine::store::{Store, StoreError};
use futures::{TryStreamExt, stream};
use schemas::JobId;
use schemas::job::{JobFilePiece, PIECE_BYTES};

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

/// Makes rows of a job's file. Done twice it does the same.
///
/// # Errors
/// [`SharedError`]; some of the rows may be there then.
pub async fn share(
    store: &Store,
    runtime: &Runtime,
    job: JobId,
    path: PathBuf,
) -> Result<(), SharedError> {
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

/// Makes the file of a job from its rows, durably, unless it is there. Where there are no rows,
/// there is no file afterwards.
///
/// # Errors
/// [`SharedError`]; there is no file then.
pub(super) async fn bring(
    store: &Store,
    runtime: &Runtime,
    job: JobId,
    path: &Path,
) -> Result<(), SharedError> {
    let looked_for = path.to_owned();
    let is_there = runtime.blocking(move || fs::exists(looked_for)).await??;
    if is_there {
        return Ok(());
    }
    // What ends so is deleted at the next start.
    let unfinished = path.with_extension("csv.part");
    let (made, mut piece) = (unfinished.clone(), 0);
    let mut file = None;
    loop {
        let row = store.get(&JobFilePiece::key_of(job, piece)).await?;
        let Some(JobFilePiece { bytes, .. }) = row else {
            return Ok(());
        };
        let is_last = bytes.len() < PIECE_BYTES;
        let made = made.clone();
        let write = move || {
            let mut file = file.map_or_else(|| File::create(made), Ok)?;
            file.write_all(&bytes)?;
            Ok::<_, io::Error>(file)
        };
        let written = runtime.blocking(write).await??;
        if is_last {
            let path = path.to_owned();
            let keep = move || {
                written
                    .sync_all()
                    .and_then(|()| fs::rename(unfinished, path))
            };
            return Ok(runtime.blocking(keep).await??);
        }
        (file, piece) = (Some(written), piece + 1);
    }
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

    /// What one node has shared another one brings to its disk, wherever the last piece ends;
    /// what nobody has shared, nobody has.
    #[test]
    fn a_file_comes_to_another_disk_as_it_was() {
        let tasks = tokio::runtime::Builder::new_multi_thread().build();
        let tasks = tasks.expect("threads");
        let runtime = Runtime::of_machine(tasks.handle().clone());
        let settings = JournalSettings {
            partitions: PartitionCount::ONE,
            trim: true,
        };
        let storage = Storage::in_memory(MemoryKv::new(), &runtime, settings);
        let store = storage.expect("storage").store;
        let folder = std::env::temp_dir().join(format!("volley-shared-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        tasks.block_on(async {
            for (number, length) in [1, PIECE_BYTES - 1, PIECE_BYTES, 20 * PIECE_BYTES + 7]
                .into_iter()
                .enumerate()
            {
                let job = JobId::from_bytes([u8::try_from(number).expect("few"); 16]);
                let (here, there) = (folder.join("here"), folder.join("there.csv"));
                bring(&store, &runtime, job, &there).await.expect("nothing");
                assert!(!there.exists(), "nobody has shared it");
                let bytes: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
                fs::write(&here, &bytes).expect("a file");
                for _ in 0..2 {
                    let shared = share(&store, &runtime, job, here.clone()).await;
                    shared.expect("it is shared");
                }
                bring(&store, &runtime, job, &there).await.expect("brought");
                assert_eq!(fs::read(&there).expect("it is there"), bytes, "{length}");
                fs::remove_file(there).expect("it can go");
            }
        });
        fs::remove_dir_all(folder).expect("it can go");
    }
}
