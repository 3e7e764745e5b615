//! What must hold of any bytes that are ordered or reduced.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a find")]

use settle_model::json;
use settle_query::{
    collate::{ABOVE, Collation, group_key, group_prefix, sort_key},
    reduce::Native,
};

const ALL: [Native; 8] = [
    Native::Sum,
    Native::Count,
    Native::Stats,
    Native::ApproxCountDistinct,
    Native::Top(3),
    Native::Bottom(3),
    Native::First,
    Native::Last,
];

pub(crate) fn check(data: &[u8]) {
    for collation in [Collation::Unicode, Collation::Raw] {
        sort_key(data, collation); // it ends
    }
    for native in ALL {
        drop(native.finish(&native.combine([data, data])));
    }
    if let Ok(value) = json::minify(data) {
        check_value(&value);
    }
}

fn check_value(value: &[u8]) {
    for collation in [Collation::Unicode, Collation::Raw] {
        let key = sort_key(value, collation);
        let array = [b"[", value, b"]"].concat();
        assert_eq!(sort_key(&array, collation)[1..=key.len()], key);
        for level in 1..4 {
            let prefix = group_prefix(value, level, collation);
            assert!(key.starts_with(&prefix));
            assert!(key < [&prefix[..], &[ABOVE]].concat());
            let group = group_key(value, level);
            assert!(json::minify(&group).is_ok());
            assert!(sort_key(&group, collation).starts_with(&prefix));
        }
    }
    for native in ALL {
        let one = native.reduce([(value, value)]);
        let two = native.combine([&*one, &*one]);
        assert_eq!(two, native.combine([&*two, &*native.combine([])]));
        if let Ok(shown) = native.finish(&two) {
            assert!(json::minify(&shown).is_ok(), "{}", String::from_utf8(shown).unwrap());
        }
    }
}
