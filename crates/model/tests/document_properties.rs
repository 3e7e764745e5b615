//! What holds for every document, wherever its special members stand.

use proptest::prelude::*;
use settle_model::{
    document::{Extras, Outgoing, parse, parse_bulk},
    json,
    revision_hash::next,
};

/// `"key": value` with white space; whether it belongs to the body.
type Member = (String, bool);

proptest! {
    #[test]
    fn the_body_is_what_is_left_without_special_members(members in members()) {
        let document = parse(object(&members, |_| true).as_bytes()).unwrap();
        let body = object(&members, |special| !special);
        prop_assert_eq!(&document.body, &*json::minify(body.as_bytes()).unwrap());
    }

    #[test]
    fn a_document_reads_the_same_alone_and_among_others(
        documents in prop::collection::vec(members(), 0..6),
    ) {
        let texts: Vec<_> = documents.iter().map(|it| object(it, |_| true)).collect();
        let bulk = parse_bulk(format!("{{\"docs\" : [ {} ] }}", texts.join(" , ")).as_bytes());
        let alone: Vec<_> = texts.iter().map(|text| parse(text.as_bytes()).unwrap()).collect();
        prop_assert_eq!(bulk.unwrap().docs, alone);
    }

    #[test]
    fn what_was_sent_out_comes_back_equal(members in members(), id in any::<String>()) {
        let mut document = parse(object(&members, |_| true).as_bytes()).unwrap();
        document.attachments.clear();
        document.id = Some(id);
        document.rev.get_or_insert_with(|| "1-a".parse().unwrap());
        let mut sent = Vec::new();
        Outgoing {
            id: document.id.as_deref().unwrap(),
            rev: document.rev.as_ref().unwrap(),
            deleted: document.deleted,
            body: &document.body,
            extras: Extras { revisions: document.revisions.as_ref(), ..Extras::default() },
        }
        .write(&mut sent);
        prop_assert_eq!(parse(&sent).unwrap(), document);
    }

    /// The id depends on the value of the body, not on white space or escapes in the text.
    #[test]
    fn the_same_edit_gets_the_same_id_however_it_is_spelt(text in "[ -~é😀]{0,40}", count in 1_u32..9) {
        let mut plain = b"{\"text\":".to_vec();
        json::write_string(&mut plain, &text);
        plain.extend_from_slice(format!(",\"count\":{count}.5}}").as_bytes());
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        let escaped = format!("{{ \"te\\u0078t\" : \"{escaped}\",\n\"count\" : {count}5E-1 }}");
        let document = parse(escaped.as_bytes()).unwrap();
        let id = next(false, None, &plain, &[]);
        prop_assert_eq!(next(false, None, &document.body, &[]), id.clone());
        prop_assert_ne!(next(true, None, &plain, &[]), id.clone());
        prop_assert_ne!(next(false, id.as_ref(), &plain, &[]), id);
    }
}

/// Members with different keys, in any order.
fn members() -> impl Strategy<Value = Vec<Member>> {
    let value = prop::sample::select(vec![
        "1",
        "-0.50",
        "\"\"",
        "\"a \\\" , }\"",
        "{}",
        "[ 1 , { \"_id\" : 2 } ]",
        "null",
        "{\"_x\": []}",
    ]);
    let plain = prop::collection::vec((value, space()), 0..6).prop_map(|values| {
        let member = |(key, (value, space)): (usize, (&str, String))| {
            (format!("\"k{key}\"{space}:{space}{value}{space}"), false)
        };
        values.into_iter().enumerate().map(member).collect::<Vec<_>>()
    });
    let special = prop::sample::subsequence(
        vec![
            "\"_id\":\"x\"",
            "\"\\u005frev\": \"3-c\"",
            "\"_deleted\" : true",
            "\"_revisions\": { \"start\" : 3, \"ids\" : [ \"c\", \"b\" ] }",
            "\"_attachments\":{ \"a\": {\"data\" : \"\\/\\/8=\"} }",
            "\"_conflicts\" :[]",
        ],
        0..6,
    );
    (plain, special)
        .prop_map(|(mut members, special)| {
            members.extend(special.into_iter().map(|it| (it.to_owned(), true)));
            members
        })
        .prop_shuffle()
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \n\r\t]{1,3}"]
}

fn object(members: &[Member], wanted: impl Fn(bool) -> bool) -> String {
    let members = members.iter().filter(|(_, special)| wanted(*special));
    let members: Vec<_> = members.map(|(text, _)| text.as_str()).collect();
    format!("{{{}}}", members.join(","))
}
