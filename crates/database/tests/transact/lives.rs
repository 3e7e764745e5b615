//! A model of one database against random exchanges, with other writes between them and exchanges that come again.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use settle_database::{Extras, Fate, Select};

use super::world::{World, ask};

/// Documents, each of them a number. What is not there is missing.
type Model = BTreeMap<u8, i64>;

#[derive(Debug, Clone)]
enum Write {
    Put(i64),
    Inc(i64),
    Take { want: i64, least: i64 },
    Patch(i64),
    Delete,
}

#[derive(Debug, Clone)]
enum Require {
    Exists,
    Absent,
    AtLeast(i64),
}

#[derive(Debug, Clone)]
struct Transaction {
    require: Vec<(u8, Require)>,
    writes: Vec<(u8, Write)>,
}

#[derive(Debug, Clone)]
enum Step {
    /// Transactions of these numbers, of those that there are.
    Exchange { mode: &'static str, numbers: Vec<usize> },
    /// A document is put without a transaction.
    Put(u8, i64),
}

/// What became of a transaction, as far as the model says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Accepted { taken: BTreeMap<u8, i64> },
    Refused,
    Undone,
}

impl Transaction {
    fn json(&self, id: usize) -> String {
        let require = self.require.iter().map(|(document, require)| {
            let what = match require {
                Require::Exists => r#""exists":true"#.to_owned(),
                Require::Absent => r#""absent":true"#.to_owned(),
                Require::AtLeast(n) => format!(r#""match":{{"n":{{"$gte":{n}}}}}"#),
            };
            format!(r#"{{"id":"d{document}",{what}}}"#)
        });
        let writes = self.writes.iter().map(|(document, write)| {
            let what = match write {
                Write::Put(n) => format!(r#""put":{{"n":{n}}}"#),
                Write::Inc(n) => format!(r#""ops":[{{"inc":{{"field":"n","by":{n}}}}}]"#),
                Write::Take { want, least } => {
                    format!(r#""ops":[{{"take":{{"field":"n","want":{want},"least":{least}}}}}]"#)
                }
                Write::Patch(n) => format!(r#""patch":{{"n":{n}}}"#),
                Write::Delete => r#""delete":true"#.to_owned(),
            };
            format!(r#"{{"id":"d{document}",{what}}}"#)
        });
        let (require, writes): (Vec<_>, Vec<_>) = (require.collect(), writes.collect());
        format!(
            r#"{{"id":"{id}","require":[{}],"writes":[{}]}}"#,
            require.join(","),
            writes.join(",")
        )
    }

    /// What it makes of the model, which it leaves alone where it is refused.
    fn on(&self, model: &mut Model) -> Outcome {
        let holds = |(document, require): &(u8, Require)| match (require, model.get(document)) {
            (Require::Exists, there) => there.is_some(),
            (Require::Absent, there) => there.is_none(),
            (Require::AtLeast(n), there) => there.is_some_and(|there| there >= n),
        };
        if !self.require.iter().all(holds) {
            return Outcome::Refused;
        }
        let (mut after, mut taken) = (model.clone(), BTreeMap::new());
        for (document, write) in &self.writes {
            let there = model.get(document).copied();
            let n = match (write, there) {
                (Write::Put(n), _) | (Write::Patch(n), Some(_)) => *n,
                (Write::Inc(by), Some(there)) => there + by,
                (Write::Take { want, least }, Some(there)) if there >= *least => {
                    let amount = there.clamp(0, *want);
                    taken.insert(*document, amount);
                    there - amount
                }
                (Write::Delete, Some(_)) => {
                    after.remove(document);
                    continue;
                }
                _ => return Outcome::Refused,
            };
            after.insert(*document, n);
        }
        *model = after;
        Outcome::Accepted { taken }
    }
}

/// What an exchange comes to, with what is remembered of earlier ones.
fn expected(
    mode: &str,
    numbers: &[usize],
    all: &[Transaction],
    model: &mut Model,
    remembered: &mut BTreeMap<usize, Outcome>,
) -> Vec<Outcome> {
    let before = (model.clone(), remembered.clone());
    let mut outcomes = Vec::new();
    for number in numbers {
        let outcome = match remembered.get(number) {
            Some(outcome) => outcome.clone(),
            None => all[*number].on(model),
        };
        remembered.insert(*number, outcome.clone());
        let is_refused = outcome == Outcome::Refused;
        outcomes.push(outcome);
        if is_refused && mode != "go_on" {
            break;
        }
    }
    let is_refused = outcomes.last() == Some(&Outcome::Refused);
    if mode == "all_in_one" && is_refused {
        let last = outcomes.len() - 1;
        (*model, *remembered) = before;
        for (outcome, number) in outcomes[..last].iter_mut().zip(numbers) {
            if !remembered.contains_key(number) {
                *outcome = Outcome::Undone;
            }
        }
        remembered.insert(numbers[last], Outcome::Refused);
    }
    outcomes.resize(numbers.len(), Outcome::Undone);
    outcomes
}

fn seen(fate: &Fate) -> Outcome {
    match fate {
        Fate::Decided { accepted: true, answer } => {
            let answer: String = String::from_utf8(answer.clone()).unwrap();
            let taken = answer.split_once(r#""taken":{"#).map_or("", |(_, taken)| taken);
            let taken = taken.split("\"d").skip(1).map(|part| {
                let (document, rest) = part.split_once(r#"":{"n":"#).unwrap();
                let amount = rest.split('}').next().unwrap();
                (document.parse().unwrap(), amount.parse().unwrap())
            });
            Outcome::Accepted { taken: taken.collect() }
        }
        Fate::Decided { accepted: false, .. } => Outcome::Refused,
        Fate::Aborted | Fate::NotAttempted => Outcome::Undone,
        Fate::Reused | Fate::Overtaken | Fate::Later => panic!("{fate:?}"),
    }
}

async fn stored(world: &World) -> Model {
    let mut model = Model::new();
    for document in 0..4 {
        let text = world.show(&format!("d{document}")).await;
        if let Some(n) = text.strip_prefix(r#"{"n":"#).and_then(|it| it.strip_suffix('}')) {
            model.insert(document, n.parse().unwrap());
        }
    }
    model
}

async fn live(transactions: &[Transaction], steps: &[Step]) {
    let world = World::new().await;
    let (mut model, mut remembered) = (Model::new(), BTreeMap::new());
    for step in steps {
        match step {
            Step::Put(document, n) => {
                let id = format!("d{document}");
                let database = &world.database;
                let name = id.parse().unwrap();
                let found =
                    database.db.get(&database.read, &name, &Select::Winner, Extras::default());
                let base = found.await.ok().map(|found| found.rev);
                database.put(&id, base.as_ref(), &format!(r#"{{"n":{n}}}"#)).await.unwrap();
                model.insert(*document, *n);
            }
            Step::Exchange { mode, numbers } => {
                let mut once = BTreeSet::new();
                let numbers: Vec<usize> =
                    numbers.iter().copied().filter(|it| once.insert(*it)).collect();
                let list: Vec<String> =
                    numbers.iter().map(|number| transactions[*number].json(*number)).collect();
                let fates = ask(&world.database, &format!("c {mode}"), &list.join(",")).await;
                let outcomes = expected(mode, &numbers, transactions, &mut model, &mut remembered);
                assert_eq!(fates.iter().map(seen).collect::<Vec<_>>(), outcomes, "{step:?}");
            }
        }
        assert_eq!(stored(&world).await, model, "after {step:?}");
    }
    world.database.audit().await;
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let require = prop_oneof![
        Just(Require::Exists),
        Just(Require::Absent),
        (0_i64..9).prop_map(Require::AtLeast),
    ];
    let write = prop_oneof![
        (-3_i64..9).prop_map(Write::Put),
        (-3_i64..4).prop_map(Write::Inc),
        (0_i64..5, 0_i64..5).prop_map(|(want, least)| Write::Take { want, least: least.min(want) }),
        (0_i64..9).prop_map(Write::Patch),
        Just(Write::Delete),
    ];
    let require = prop::collection::vec((0_u8..4, require), 0..2);
    let writes = prop::collection::btree_map(0_u8..4, write, 0..4);
    (require, writes)
        .prop_map(|(require, writes)| Transaction { require, writes: writes.into_iter().collect() })
}

fn step(count: usize) -> impl Strategy<Value = Step> {
    let mode = prop::sample::select(vec!["stop", "go_on", "all_in_one"]);
    let numbers = prop::collection::vec(0..count, 1..5);
    prop_oneof![
        5 => (mode, numbers).prop_map(|(mode, numbers)| Step::Exchange { mode, numbers }),
        1 => (0_u8..4, -3_i64..9).prop_map(|(document, n)| Step::Put(document, n)),
    ]
}

fn life() -> impl Strategy<Value = (Vec<Transaction>, Vec<Step>)> {
    let transactions = prop::collection::vec(transaction(), 12);
    (transactions, prop::collection::vec(step(12), 1..24))
}

proptest! {
    #[test]
    fn exchanges_come_to_what_the_model_says((transactions, steps) in life()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live(&transactions, &steps));
    }
}
