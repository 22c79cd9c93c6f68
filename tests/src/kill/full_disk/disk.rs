//! A small disk in memory, and a file that takes its space.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How much the ballast grows at once, the largest first: the last bytes come in pieces.
const PIECES: [usize; 2] = [1 << 20, 4 << 10];

/// A mounted disk. Dropping it unmounts it.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts a disk of so many bytes.
    pub fn mount(folder: &Path, bytes: u64) -> Result<Self, String> {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "volley-kill"]);
        let output = mount
            .arg(folder)
            .output()
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let folder = folder.to_owned();
        Ok(Self { folder })
    }

    /// Takes space until so many bytes are free.
    pub fn fill(&self, free: u64) {
        let ballast = File::options()
            .create(true)
            .append(true)
            .open(self.ballast());
        // Without space for its name, everything is taken.
        let Ok(mut ballast) = ballast else { return };
        for piece in PIECES {
            let zeros = vec![0; piece];
            while self.free() >= free + piece as u64 {
                match ballast.write_all(&zeros) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("the ballast cannot grow: {error}"),
                }
            }
        }
    }

    /// Gives all space back.
    pub fn empty(&self) {
        fs::remove_file(self.ballast()).expect("the ballast is there");
    }

    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.folder).expect("the disk can be asked");
        disk.f_bavail * disk.f_frsize
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there is about to end.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
