//! What a node says of itself at `/metrics`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::failure::{BenchError, machine};

/// Numbers by name and labels, as they are written there.
#[derive(Debug)]
pub struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    /// Asks the node at a URL.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(url: &str) -> Result<Self, BenchError> {
        let failed = machine("a node's numbers");
        let address = url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).map_err(&failed)?;
        let request = "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).map_err(&failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(&failed)?;
        let lines = answer.lines().filter(|line| !line.starts_with('#'));
        let numbers = lines.filter_map(|line| {
            let (name, number) = line.rsplit_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        });
        Ok(Self(numbers.collect()))
    }

    /// How much the numbers of one name have grown since `before`, by what is behind the name.
    pub fn grown<'a>(
        &'a self,
        before: &'a Self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.iter().filter_map(move |(key, number)| {
            let labels = key.strip_prefix(name)?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            let grown = number - before.0.get(key).copied().unwrap_or(0.0);
            (is_it && grown > 0.0).then_some((labels, grown))
        })
    }

    /// The sum of the numbers of one name whose labels contain `label`.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let all = self.0.iter();
        let of = all.filter(|(key, _)| key.starts_with(name) && key.contains(label));
        of.map(|(_, number)| number).sum()
    }
}
