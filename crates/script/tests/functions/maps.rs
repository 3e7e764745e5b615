//! Map functions: what they see, and what their rows are.

use std::sync::Arc;

use expect_test::expect;

use crate::support::{bytes, check_map, map, program, scripts, written};

#[tokio::test]
async fn a_map_function_emits_a_row_for_each_call() {
    check_map(
        "function (doc) { emit(doc.a, doc.b); emit([1, doc.a]) }",
        &[r#"{"_id":"x","a":1,"b":{"c":[true,null]}}"#, r#"{"_id":"y"}"#],
        expect![[r#"
            1 {"c":[true,null]}
            [1,1] null
            --
            null null
            [1,null] null
            --
        "#]],
    )
    .await;
}
