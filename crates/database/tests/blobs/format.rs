//! What is stored, byte for byte, so that no change of it goes unnoticed.

use std::fmt::Write as _;

use expect_test::expect;

use crate::world::{BINARY, TEXT, World};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

async fn rows(world: &World) -> String {
    let mut seen = String::new();
    for (key, value) in world.rows().await {
        // Digests and data are shown by their beginnings.
        let cut = |text: String| match text.len() {
            0..=150 => text,
            _ => format!("{}…", &text[..150]),
        };
        writeln!(seen, "{}\n  {}", cut(hex(&key)), cut(hex(&value))).unwrap();
    }
    seen
}

#[tokio::test]
async fn records_of_a_small_blob() {
    let world = World::new().await;
    let digest = world.store(b"hello", TEXT).await;
    expect![[r#"
        0040232bef89a69198457744f78fd826df56ccdc01562ebe16633a2f17fc34270488
          01a6adb0dc88c6a20bcc2a885943d8d8cb4de9af09afcd1d7b39a820e20000000000000000010000051900
        0041232bef89a69198457744f78fd826df56ccdc01562ebe16633a2f17fc34270488
          012a5cbd4f1f8b0800000000000003cb48cdc9c9070086a6103605000000
        0042232bef89a69198457744f78fd826df56ccdc01562ebe16633a2f17fc342704880107
          0156b485c6
        010720232bef89a69198457744f78fd826df56ccdc01562ebe16633a2f17fc34270488780001018161
          0110c99b91
    "#]]
    .assert_eq(&rows(&world).await);
    world.release(7, "x 1-a", digest).await.unwrap();
    world.collect().await;
    expect![[r#"
        0040232bef89a69198457744f78fd826df56ccdc01562ebe16633a2f17fc34270488
          011df69a1288c6a20bcc2a885943d8d8cb4de9af09afcd1d7b39a820e200000000000000000100010519018080e2c4f2a29903
        0041232bef89a69198457744f78fd826df56ccdc01562ebe16633a2f17fc34270488
          012a5cbd4f1f8b0800000000000003cb48cdc9c9070086a6103605000000
        0043070665174c5bc600232bef89a69198457744f78fd826df56ccdc01562ebe16633a2f17fc34270488
          01d647c963
    "#]].assert_eq(&rows(&world).await);
}

#[tokio::test]
async fn the_file_of_a_large_blob() {
    let world = World::new().await;
    world.store(&[b'a'; 65_537], BINARY).await;
    let file = world.files().into_iter().next().unwrap();
    let bytes = std::fs::read(world.path().join(&file)).unwrap();
    let seen = format!(
        "{}\nheader {}\nblock 0 ends {}\nblock 1 {}\n",
        file.display(),
        hex(&bytes[..76]),
        hex(&bytes[76 + 65_534..76 + 65_540]),
        hex(&bytes[76 + 65_540..]),
    );
    expect![[r#"
        86/862830ea0cc595eb855f74bcff42f1f2011db6d274403389778966dc81c2c2ba-afcd1d7b39a820e20000000000000000
        header 736574746c424c420100000000000100afcd1d7b39a820e20000000000000000862830ea0cc595eb855f74bcff42f1f2011db6d274403389778966dc81c2c2ba01000100000000000785ef83
        block 0 ends 6161abd4f78c
        block 1 61dcdc7ce7
    "#]].assert_eq(&seen);
}
