//! Ports that a server or a node keeps while it is down.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Ports below those that outgoing connections get: a connection of the sandbox to a node that is
/// down must not take the node's.
const CANDIDATES: std::ops::Range<u16> = 12_000..32_000;

/// A port of the loopback addresses that nobody else gets, also while nothing listens on
/// it: a lock of its own says so to other test processes.
#[derive(Debug)]
pub(crate) struct Port {
    /// Its number.
    pub number: u16,
    /// Locked for as long as this process has the port.
    _reservation: File,
}

impl Port {
    /// The loopback address with this port.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }

    /// The next free port.
    ///
    /// # Panics
    /// When none is free.
    pub fn reserve() -> Self {
        let locks = std::env::temp_dir().join("volley-ports");
        fs::create_dir_all(&locks).expect("a folder for locks");
        let below = first_ephemeral().min(CANDIDATES.end);
        let reserve = |number: u16| {
            let reservation = File::create(locks.join(number.to_string())).ok()?;
            reservation.try_lock().ok()?;
            TcpListener::bind(("127.0.0.1", number)).ok()?;
            Some(Self {
                number,
                _reservation: reservation,
            })
        };
        (CANDIDATES.start..below)
            .find_map(reserve)
            .expect("a port below those of outgoing connections is free")
    }
}

/// The first port that the system gives to outgoing connections.
fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = range.split_whitespace().next();
    // The default of Linux.
    first.and_then(|first| first.parse().ok()).unwrap_or(32_768)
}
