//! The two backends as subjects of the contracts, and the tests that run them all.

use std::fs;
use std::path::Path;

use futures::FutureExt;
use futures::future::BoxFuture;
use tempfile::TempDir;

use super::Store;
use super::contract::{self, StoreSubject};
use super::embedded::Embedded;
use super::embedded::contract::{self as embedded_contract, EmbeddedSubject};
use super::memory::MemoryKv;
use super::writer::{NoParticipant, Operations, WriterEnd};
use crate::log::Log;
use crate::log::contract::LogSubject;
use crate::runtime::Runtime;

pub(crate) fn runtime() -> Runtime {
    Runtime::of_machine(tokio::runtime::Handle::current())
}

pub(crate) fn open(folder: &Path) -> Embedded<NoParticipant> {
    Embedded::open(folder, &runtime(), |_| Ok(NoParticipant)).expect("the folder opens")
}

pub(crate) fn in_memory(memory: &MemoryKv) -> Embedded<NoParticipant> {
    Embedded::in_memory(memory.clone(), &runtime(), |_| Ok(NoParticipant)).expect("memory opens")
}

/// Closes a store and waits until its database is closed too.
pub(crate) async fn close(embedded: Embedded<NoParticipant>) {
    let mut closed = embedded.closed.clone();
    drop(embedded);
    assert!(matches!(closed.wait().await, WriterEnd::Stopped));
}

/// The files of a folder as they are on disk now, which is what a kill leaves.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("create");
    for entry in fs::read_dir(from).expect("read") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copy");
        }
    }
}

struct MemorySubject {
    memory: MemoryKv,
    embedded: Option<Embedded<NoParticipant>>,
}

impl MemorySubject {
    fn new() -> Self {
        let memory = MemoryKv::new();
        let embedded = Some(in_memory(&memory));
        Self { memory, embedded }
    }
}

struct FolderSubject {
    /// Each crash leaves its folder behind and opens a copy.
    folder: TempDir,
    embedded: Option<Embedded<NoParticipant>>,
}

impl FolderSubject {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let embedded = Some(open(folder.path()));
        Self { folder, embedded }
    }
}

impl MemorySubject {
    fn open(&self) -> &Embedded<NoParticipant> {
        self.embedded.as_ref().expect("open")
    }

    async fn end_and_open(&mut self) {
        close(self.embedded.take().expect("open")).await;
        self.memory.crash();
        self.embedded = Some(in_memory(&self.memory));
    }
}

impl FolderSubject {
    fn open(&self) -> &Embedded<NoParticipant> {
        self.embedded.as_ref().expect("open")
    }

    async fn end_and_open(&mut self) {
        let left = tempfile::tempdir().expect("a folder");
        copy_folder(self.folder.path(), left.path());
        drop(self.embedded.take());
        self.embedded = Some(open(left.path()));
        self.folder = left;
    }
}

macro_rules! subject_of_all_contracts {
    ($subject:ty) => {
        impl StoreSubject for $subject {
            fn store(&self) -> Store {
                self.open().store.clone()
            }

            fn crash(&mut self) -> BoxFuture<'_, ()> {
                self.end_and_open().boxed()
            }
        }

        impl EmbeddedSubject for $subject {
            fn operations(&self) -> Operations {
                self.open().participant.operations()
            }
        }

        impl LogSubject for $subject {
            fn log(&self) -> Log {
                self.open().log.clone()
            }

            fn crash(&mut self) -> BoxFuture<'_, ()> {
                self.end_and_open().boxed()
            }
        }
    };
}

subject_of_all_contracts!(MemorySubject);
subject_of_all_contracts!(FolderSubject);

macro_rules! run_store_cases {
    ($($case:ident,)*) => {
        mod store_in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::contract::$case(&mut super::MemorySubject::new()).await;
            })*
        }
        mod store_in_a_folder {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::contract::$case(&mut super::FolderSubject::new()).await;
            })*
        }
    };
}

macro_rules! run_log_cases {
    ($($case:ident,)*) => {
        mod log_in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::log::contract::$case(&mut super::MemorySubject::new()).await;
            })*
        }
        mod log_in_a_folder {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::log::contract::$case(&mut super::FolderSubject::new()).await;
            })*
        }
    };
}

macro_rules! run_embedded_cases {
    ($($case:ident,)*) => {
        mod embedded_in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::embedded_contract::$case(&mut super::MemorySubject::new()).await;
            })*
        }
        mod embedded_in_a_folder {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::embedded_contract::$case(&mut super::FolderSubject::new()).await;
            })*
        }
    };
}

crate::each_store_case!(run_store_cases);
embedded_contract::each_embedded_case!(run_embedded_cases);
crate::each_log_case!(run_log_cases);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_folder_opens_again_with_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 0..3_u64 {
        let embedded = open(folder.path());
        let control = (crate::log::Topic::Control, schemas::Partition(0));
        let first = embedded.log.append(control.0, control.1, vec![vec![7]]);
        assert_eq!(first.await.expect("append"), round);
        close(embedded).await;
    }
}
