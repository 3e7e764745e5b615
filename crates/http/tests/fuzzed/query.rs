//! What holds for any path and query.

use settle_http::{
    parameters::{ChangesParameters, DocumentParameters, Query, ViewParameters},
    routes,
};

/// The text is a path up to the first question mark, and a query behind it.
pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (path, query) = text.split_once('?').unwrap_or(("", &text));
    // Whether it is there or not, looking for it ends.
    let _: bool = routes::has(path);
    let query = Query::new(query);
    for (name, value) in query.pairs() {
        let last = query.get(&name).expect("a name that is there has a value");
        assert!(query.pairs().any(|pair| pair == (name.clone(), last.clone())), "{name}={value}");
    }
    if let Ok(parameters) = ViewParameters::of_query(query) {
        let mut again = parameters.clone();
        again.add_query(query).expect("what was taken once is taken again");
        assert_eq!(parameters, again);
    }
    if let Ok(parameters) = DocumentParameters::of_query(query) {
        let all = parameters.rev.iter().chain(parameters.atts_since.iter().flatten());
        for rev in all {
            assert_eq!(rev.to_string().parse().as_ref(), Ok(rev));
        }
    }
    drop(ChangesParameters::of_query(query, None));
    drop(ChangesParameters::of_query(query, Some(path)));
}
