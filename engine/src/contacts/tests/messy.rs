use super::*;

/// What an office exports after ten years: a mark in front, three kinds of line end, two lines of
/// header, bytes of Latin-1, formulas, cells and quotes in the wrong places.
const MESSY: &[u8] = include_bytes!("../../../../tests/corpus/contacts/messy.csv");

/// Every record of the file: line, number and fields, or line, column and reason.
#[rustfmt::skip]
const OUTCOMES: &[&str] = &[
    r#"3 +4915123456789 first_name="Anna" letzter_kauf="" notiz="" nr="1""#,
    r#"4 +4915123456790 first_name="Bernd" letzter_kauf="" notiz="" nr="2""#,
    r#"5 +4915123456791 first_name="Çağla" letzter_kauf="2026-01-02" notiz="" nr="3""#,
    r#"8 +4915123456792 first_name="Dörte; geb. \"Maus\"" letzter_kauf="" notiz="" nr="4""#,
    r#"9 +4915123456793 first_name="Emil" letzter_kauf="" notiz="zwei\r\nZeilen" nr="5""#,
    r#"11 +4915123456794 first_name="Frieda" letzter_kauf="" notiz="" nr="6""#,
    r#"12 ! Handynummer scientific_notation"#,
    r#"13 ! Handynummer missing_number"#,
    r#"14 ! Handynummer missing_number"#,
    r#"15 ! Handynummer invalid_number"#,
    r#"16 ! First Name invalid_utf8"#,
    r#"17 +4915123456796 first_name="Kim" letzter_kauf="" notiz="" nr="12""#,
    r#"18 ! - too_many_columns"#,
    r#"19 +14155552671 first_name="=HYPERLINK(\"http://x\")" letzter_kauf="" notiz="" nr="14""#,
    r#"20 +442079460018 first_name="@SUM(A1)" letzter_kauf="" notiz="" nr="15""#,
    r#"21 ! First Name unterminated_quote"#,
    r#"22 +4915123456799 first_name="Pia" letzter_kauf="" notiz="" nr="17""#,
    r#"23 +4915123456800 first_name="Quirin, jr." letzter_kauf="" notiz="" nr="18""#,
    r#"24 +4915123456800 first_name="Rosa" letzter_kauf="" notiz="Doppelt" nr="19""#,
    r#"25 ! First Name malformed_quote"#,
    r#"26 +4915123456802 first_name="5\" Rohr" letzter_kauf="" notiz="" nr="21""#,
    r#"27 +4915123456803 first_name="Tina" letzter_kauf="" notiz="" nr="22""#,
    r#"28 +4915123456804 first_name="Uwe" letzter_kauf="" notiz="" nr="23""#,
    r#"29 ! First Name invalid_utf8"#,
    r#"30 ! Handynummer invalid_utf8"#,
    r#"31 +85251234567 first_name="陳大文" letzter_kauf="" notiz="" nr="26""#,
    r#"32 +4989123456789 first_name="Юлия" letzter_kauf="" notiz="" nr="27""#,
    r#"33 +79123456789 first_name="Юлия" letzter_kauf="" notiz="" nr="28""#,
    r#"34 +966501234567 first_name="ليلى" letzter_kauf="" notiz="" nr="29""#,
    r#"35 +33612345678 first_name="Zoë 👩\u{200d}🚀" letzter_kauf="" notiz="" nr="30""#,
    r#"36 +4915123456807 first_name="Ann" letzter_kauf="" notiz="" nr="31""#,
    r#"37 +4915123456808 first_name="Ben" letzter_kauf="" notiz="" nr="32""#,
    r#"38 +4915123456809 first_name="Cid" letzter_kauf="" notiz="" nr="33""#,
    r#"39 +4915123456810 first_name="Dee" letzter_kauf="" notiz="" nr="34""#,
    r#"40 +4915123456811 first_name="Eve" letzter_kauf="" notiz="" nr="35""#,
    r#"41 ! Handynummer invalid_number"#,
    r#"42 ! Handynummer invalid_number"#,
    r#"43 ! Handynummer invalid_number"#,
    r#"44 ! Handynummer invalid_number"#,
    r#"45 +49301234567 first_name="Joe" letzter_kauf="" notiz="Festnetz" nr="40""#,
    r#"46 ! Handynummer invalid_number"#,
    r#"47 ! Handynummer invalid_number"#,
    r#"48 ! Handynummer missing_number"#,
    r#"50 +4915123456817 first_name="" letzter_kauf="" notiz="" nr="43""#,
    r#"51 +4915123456818 first_name=" Mia " letzter_kauf="" notiz="" nr="44""#,
    r#"52 +4915123456819 first_name="Ned\tNorth" letzter_kauf="" notiz="" nr="45""#,
    r#"53 +4915123456820 first_name="O\r\n\r\nP" letzter_kauf="" notiz="" nr="46""#,
    r#"56 +4915123456821 first_name="Ray" letzter_kauf="" notiz="bis\nhier" nr="47""#,
    r#"58 ! First Name unterminated_quote"#,
    r#"59 +4915123456823 first_name="Tom" letzter_kauf="" notiz="" nr="49""#,
    r#"60 +4915123456824 first_name="Una" letzter_kauf="" notiz="" nr="50""#,
    r#"61 +4915123456825 first_name="Val" nr="51""#,
    r#"62 ! Handynummer invalid_number"#,
    r#"63 +14155552672 first_name="Xia" letzter_kauf="" notiz="" nr="53""#,
    r#"64 ! First Name field_too_long"#,
    r#"65 ! Handynummer malformed_quote"#,
    r#"66 ! Letzter%Kauf unterminated_quote"#,
];

#[test]
fn every_record_of_a_messy_file_is_accounted_for() {
    let records = read_all(MESSY, Some("DE"));
    for (index, (record, position)) in records.iter().enumerate() {
        // The header of the last column has a line end in it, written `%` above.
        let told = told(record).replace("Letzter\r\nKauf", "Letzter%Kauf");
        assert_eq!(
            Some(&told.as_str()),
            OUTCOMES.get(index),
            "record {}",
            index + 1
        );
        assert_eq!(position.records, index as u64 + 1);
    }
    assert_eq!(records.len(), OUTCOMES.len());
    let contacts = records
        .iter()
        .filter(|(record, _)| matches!(record, Record::Contact(_)));
    assert_eq!(contacts.count(), 35);
}
