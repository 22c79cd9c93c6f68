use std::hint::black_box;

use super::*;

/// Prints how many contacts a second the reader takes; run it with
/// `cargo test --release -p engine contacts::tests::rate -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, for release builds"]
#[allow(clippy::disallowed_methods, clippy::print_stdout)] // it measures real time and prints it
fn contacts_per_second() {
    const CONTACTS: u32 = 1_000_000;
    for (form, region) in [("+1415555", None), ("(415) 555-", Some("US"))] {
        let mut file = String::from("First Name,Phone,City\n");
        for number in 0..CONTACTS {
            file += &format!("Ann,{form}{:04},San Francisco\n", number % 10_000);
        }
        let mut reader = ContactReader::new(file.as_bytes(), &options(region)).expect("a file");
        let start = std::time::Instant::now();
        let mut contacts = 0u32;
        while let Some(record) = reader.next_record().expect("memory can be read") {
            contacts += u32::from(matches!(black_box(record), Record::Contact(_)));
        }
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(contacts, CONTACTS);
        println!("{form}: {:.0} contacts/s", f64::from(contacts) / seconds);
    }
}
