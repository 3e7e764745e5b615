//! Stored trees that are none are refused, never taken for one.

use proptest::prelude::*;
use settle_model::tree::{Chain, ChainParent, Cut, RevTree, TreeError};

fn chain(start: u32, digests: &str, parent: ChainParent) -> Chain {
    let digests = digests.split_whitespace().map(|it| it.parse().unwrap()).collect();
    Chain { start, digests, parent }
}

fn on(chain: usize, offset: usize) -> ChainParent {
    ChainParent::Chain { chain, offset }
}

fn cut(newest: &str, count: u32) -> ChainParent {
    ChainParent::Cut(Cut { newest: newest.parse().unwrap(), count })
}

fn read(chains: &[Chain], leaves: usize) -> Result<RevTree<()>, TreeError> {
    RevTree::from_chains(chains.to_vec(), (0..leaves).map(|_| (false, ())))
}

#[test]
fn a_stored_tree_that_is_none_is_refused() {
    let whole = chain(3, "c b a", ChainParent::None);
    let refused = |chains: &[Chain], leaves| read(chains, leaves).unwrap_err();

    let length = |start, len| TreeError::ChainLength { chain: 0, start, len };
    assert_eq!(refused(&[chain(3, "", ChainParent::None)], 1), length(3, 0));
    assert_eq!(refused(&[chain(1, "b a", ChainParent::None)], 1), length(1, 2));

    let parent = TreeError::Parent { chain: 1 };
    assert_eq!(refused(&[whole.clone(), chain(3, "d", on(0, 2))], 2), parent);
    assert_eq!(refused(&[whole.clone(), chain(3, "d", on(0, 3))], 2), parent);
    assert_eq!(refused(&[whole.clone(), chain(3, "d", on(1, 0))], 2), parent);
    assert_eq!(
        refused(&[whole.clone(), chain(4, "e", on(0, 0))], 2),
        TreeError::ParentIsLeaf { chain: 1 }
    );

    let parent = TreeError::Parent { chain: 0 };
    assert_eq!(refused(&[chain(3, "c", cut("1-a", 1))], 1), parent);
    assert_eq!(refused(&[chain(3, "c", cut("2-b", 0))], 1), parent);
    assert_eq!(refused(&[chain(3, "c", cut("2-b", 3))], 1), parent);

    let twice = TreeError::Duplicate { rev: "2-b".parse().unwrap() };
    assert_eq!(refused(&[whole.clone(), chain(3, "d b", on(0, 2))], 2), twice);

    let leaves = |leaves| TreeError::Leaves { leaves, chains: 1 };
    assert_eq!(refused(std::slice::from_ref(&whole), 0), leaves(0));
    assert_eq!(refused(std::slice::from_ref(&whole), 2), leaves(2));

    assert!(read(&[], 0).unwrap().is_empty());
    assert!(read(&[whole, chain(3, "d", on(0, 1))], 2).is_ok());
}

fn any_chain() -> impl Strategy<Value = Chain> {
    let parent = prop_oneof![
        Just(ChainParent::None),
        (0..3_usize, 0..4_usize).prop_map(|(chain, offset)| on(chain, offset)),
        (1..6_u32, 0..6_u32).prop_map(|(generation, count)| cut(&format!("{generation}-x"), count)),
    ];
    (0..6_u32, prop::collection::vec("[abcd]", 0..4), parent)
        .prop_map(|(start, digests, parent)| chain(start, &digests.join(" "), parent))
}

proptest! {
    #[test]
    fn whatever_is_taken_is_a_tree(
        chains in prop::collection::vec(any_chain(), 0..4),
        leaves in 0..4_usize,
    ) {
        if let Ok(tree) = read(&chains, leaves) {
            prop_assert_eq!(tree.leaves().len(), leaves);
            for leaf in tree.leaves() {
                prop_assert_eq!(&tree.path(&leaf.rev).unwrap().newest(), &leaf.rev);
            }
            let again = read(&tree.chains(), leaves).unwrap();
            prop_assert_eq!(again, tree);
        }
    }
}
