//! What must hold of any bytes that are stored as a design document.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a find")]

use settle_model::json;
use settle_query::design::{self, Language, MapSource, check_save, parse};

pub(crate) fn check(data: &[u8]) {
    let whatever = parse("d", data);
    assert_eq!(whatever.is_ok(), data.first() == Some(&b'{'));
    drop(check_save(data, false)); // it ends
    let Ok(body) = json::minify(data) else { return };
    let Ok(design) = parse("d", &body) else { return };
    let index = design.index(true);
    let maps = index.as_ref().map(|it| &*it.maps).unwrap_or_default();
    for name in design.view_names() {
        match design.view(name) {
            Ok(place) => {
                let map = &maps[place.map];
                assert!(place.reducer.is_none_or(|reducer| reducer < map.reducers.len()));
                let fields = matches!(map.source, MapSource::Fields(_));
                assert_eq!(fields, design.language == Language::Query);
            }
            Err(design::ViewError::Broken(_)) => assert!(check_save(&body, true).is_err()),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert_eq!(parse("other", &body).unwrap().index(true), index);
    if check_save(&body, false).is_ok() {
        check_save(&body, true).unwrap();
    }
}
