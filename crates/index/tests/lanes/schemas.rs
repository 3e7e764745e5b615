//! JSON Schemas in design documents.

use settle_database::Atomicity;

use crate::world::{World, delete, put};

const SCHEMAS: &str = r#"{"schemas":[
    {"selector":{"type":"invoice"}, "schema":{
        "required":["total"],
        "additionalProperties":false,
        "properties":{"type":{}, "total":{"type":"number"}}
    }},
    {"selector":{"type":{"$in":["invoice","payment"]}, "_id":{"$regex":"^p"}}, "schema":{
        "properties":{"total":{"maximum":100}}
    }}
]}"#;

#[tokio::test]
async fn a_document_that_breaks_a_schema_is_forbidden_with_the_place_and_the_rule() {
    let world = World::new().await;
    world.design("shop", SCHEMAS).await;
    let edits = vec![
        put("a", None, r#"{"type":"invoice","total":12}"#),
        put("b", None, r#"{"type":"invoice","total":"12"}"#),
        put("c", None, r#"{"type":"note","total":"12"}"#),
        put("p", None, r#"{"type":"payment","total":101}"#),
    ];
    let broken = "forbidden: the document breaks a schema of _design/shop:";
    assert_eq!(
        world.write(edits, Atomicity::EachAlone).await,
        [
            "ok",
            &format!(
                r#"{broken} /total: value is not of type "number" (rule /properties/total/type)"#
            ),
            "ok",
            &format!(
                "{broken} /total: value is greater than the maximum of 100 (rule /properties/total/maximum)"
            ),
        ]
    );
    let rev = world.rev("a").await;
    assert_eq!(world.one(delete("a", &rev)).await, "ok", "a tombstone has no members to check");
}

#[tokio::test]
async fn large_documents_are_checked_where_they_hold_up_nobody() {
    let world = World::new().await;
    world.design("shop", SCHEMAS).await;
    let pad = "x".repeat(100_000);
    let edits = vec![
        put("a", None, &format!(r#"{{"type":"note","pad":"{pad}"}}"#)),
        put("b", None, &format!(r#"{{"type":"invoice","total":1,"pad":"{pad}"}}"#)),
    ];
    let said = world.write(edits, Atomicity::EachAlone).await;
    assert_eq!(said[0], "ok");
    assert!(said[1].ends_with("(rule /additionalProperties)"), "{}", said[1]);
}
