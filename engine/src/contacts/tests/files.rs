use super::*;
use crate::contacts::header::{Delimiter, field_name};
use crate::contacts::records::{MAX_FIELD_BYTES, MAX_RECORD_BYTES, MAX_RECORD_LINES};

fn told_all(text: &str) -> Vec<String> {
    read_all(text.as_bytes(), Some("US"))
        .iter()
        .map(|(record, _)| told(record))
        .collect()
}

#[test]
fn fields_have_names_that_templates_can_say() {
    for (header, field) in [
        ("First Name", "first_name"),
        ("  E-Mail / Adresse  ", "e_mail_adresse"),
        ("Prénom", "prénom"),
        ("Pre\u{301}nom", "prénom"),
        ("ИМЯ", "имя"),
        ("2nd Phone", "_2nd_phone"),
        ("__x__", "x"),
        ("---", ""),
    ] {
        assert_eq!(field_name(header), field, "{header}");
    }
}

#[test]
fn the_phone_column_is_found_by_its_usual_names() {
    for (header, phone, delimiter) in [
        ("name,phone", 1, Delimiter::Comma),
        ("Phone,Mobile,Name", 1, Delimiter::Comma),
        ("Vorname;Handy-Nummer?;Handynummer", 2, Delimiter::Semicolon),
        ("Nombre\tTeléfono", 1, Delimiter::Tab),
        (
            "\u{feff}\"Nom; prénom, titre\";\"Téléphone portable\"",
            1,
            Delimiter::Semicolon,
        ),
        ("\n\r\nCelular,b;c", 0, Delimiter::Comma),
        ("sep=;\r\nname,x;to", 1, Delimiter::Semicolon),
        ("MSISDN", 0, Delimiter::Comma),
        (",\"multi\nline\",Phone Number,,", 2, Delimiter::Comma),
    ] {
        let layout = layout_of(header.as_bytes());
        assert_eq!(
            (layout.phone_column, layout.delimiter),
            (phone, delimiter),
            "{header}"
        );
    }
    let mine = ImportOptions {
        phone_column: Some("Meine nummer".into()),
        ..options(None)
    };
    let reader = ContactReader::new(&b"phone;Meine-Nummer\n"[..], &mine).expect("found");
    assert_eq!(reader.layout().phone_column, 1);
    let error = ContactReader::new(&b"phone;x\n"[..], &mine)
        .err()
        .expect("not there");
    assert_eq!(
        error.to_string(),
        "no column `Meine nummer` among: phone, x"
    );
}

#[test]
fn files_that_cannot_be_imported_say_why() {
    for (bytes, message) in [
        (&b""[..], "the file is empty"),
        (b"\xef\xbb\xbf\r\n \n", "the file is empty"),
        (b"\xff\xfep\0h\0", "the file is UTF-16LE, save it as UTF-8"),
        (b"\xfe\xff\0p\0h", "the file is UTF-16BE, save it as UTF-8"),
        (b"p\0h\0o\0n\0e\0", "the file is UTF-16LE, save it as UTF-8"),
        (
            b"PK\x03\x04zip",
            "the file is a spreadsheet workbook or an archive, save it as CSV in UTF-8",
        ),
        (
            b"\n\nphone,pr\xe9nom\n",
            "the header in line 3 is not UTF-8, save the file as UTF-8",
        ),
        (
            b"phone,\"name\n+14155552671,Ann\n",
            "the header in line 1 cannot be read: unterminated_quote",
        ),
        (
            b"+1 415 555 2671\n+1 415 555 2672\n",
            "line 1 is a contact, not a header: add a first line that names the columns, such as `phone`",
        ),
        (
            b"phone,First Name,first-name\n",
            "columns `First Name` and `first-name` are both the field `first_name`, rename one",
        ),
        (
            b"Name;E-Mail\nAnn;a@b\n",
            "no phone column among: Name, E-Mail; name it `phone` or say which it is",
        ),
    ] {
        assert_eq!(refusal(bytes).to_string(), message);
    }
    let error = ContactReader::new(&b"phone"[..], &options(Some("ZZ")))
        .err()
        .expect("no region");
    assert!(matches!(error, ImportFileError::UnknownRegion(_)));
}

#[test]
fn line_ends_of_every_kind_count_once() {
    for end in ["\n", "\r\n", "\r"] {
        let text = [
            "phone,name",
            "",
            "4155552671,\"A",
            "B\"",
            "  ",
            "4155552672,C",
        ]
        .join(end);
        let expected = [
            format!("3 +14155552671 name={:?}", format!("A{end}B")),
            "6 +14155552672 name=\"C\"".to_owned(),
        ];
        assert_eq!(told_all(&text), expected, "{end:?}");
    }
}

#[test]
fn a_stray_quote_spoils_one_line() {
    let text = "phone,name\n\
        4155552671,\"Bob\n\
        4155552672,Ann\n\
        4155552673,\"Smith, Carl\"\n\
        4155552674,\"Dan \"the man\" Poe\"\n\
        4155552675,5\" pipe\n\
        4155552676,\"Eve";
    let expected = [
        "2 ! name unterminated_quote",
        "3 +14155552672 name=\"Ann\"",
        "4 +14155552673 name=\"Smith, Carl\"",
        "5 ! name malformed_quote",
        "6 +14155552675 name=\"5\\\" pipe\"",
        "7 ! name unterminated_quote",
    ];
    assert_eq!(told_all(text), expected);
}

#[test]
fn limits_reject_one_record_and_go_on() {
    let lines = "x\n".repeat(MAX_RECORD_LINES as usize);
    let exact = "x\n".repeat(MAX_RECORD_LINES as usize - 1);
    let longest = "é".repeat(MAX_FIELD_BYTES / 2);
    let text = format!(
        "phone,name\n\
         4155552671,{}\n\
         4155552672,{longest}x\n\
         4155552673,{longest}\n\
         4155552674,\"{}\"\n\
         4155552675,Ann\n\
         4155552676,\"{exact}\"\n\
         4155552677,\"{lines}\"\n",
        "x".repeat(10 * MAX_RECORD_BYTES),
        "x".repeat(MAX_RECORD_BYTES),
    );
    let told = told_all(&text);
    assert_eq!(told[0], "2 ! - record_too_long");
    assert_eq!(told[1], "3 ! name field_too_long");
    assert!(told[2].starts_with("4 +14155552673"));
    assert_eq!(told[3], "5 ! name unterminated_quote");
    assert_eq!(told[4], "6 +14155552675 name=\"Ann\"");
    assert!(told[5].starts_with("7 +14155552676 name=\"x"));
    let after = 7 + MAX_RECORD_LINES;
    assert_eq!(told[6], format!("{after} ! name unterminated_quote"));
    // The line behind the stray quote is a record again, and so are all the others.
    assert_eq!(told[7], format!("{} ! phone invalid_number", after + 1));
    assert_eq!(told.len(), 7 + MAX_RECORD_LINES as usize);
}

#[test]
fn rows_may_be_short_and_empty_cells_beyond_the_header_do_not_matter() {
    let text = "name,phone,city,\n\
        Ann,4155552671\n\
        Ben\n\
        Cid,4155552672,,,, ,\n\
        Dee,4155552673,Rome,x\n\
        ,,,\n";
    let expected = [
        "2 +14155552671 name=\"Ann\"",
        "3 ! phone missing_number",
        "4 +14155552672 city=\"\" name=\"Cid\"",
        "5 ! - too_many_columns",
        "6 ! phone missing_number",
    ];
    assert_eq!(told_all(text), expected);
}
