//! What holds for any bytes that claim to be an archive.

use settle_archive::{BadArchive, Flaw, Item, Reader, block::Packer};

/// The first byte says what the rest is: of an even number the file itself, else its lines, which are packed here so
/// that checksums stand in nobody's way. Divided by two it is how the file is cut.
pub(crate) fn check(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let file = if first % 2 == 0 { rest.to_vec() } else { packed(rest) };
    let step = usize::from(first / 2).max(1);
    let whole = read(&file, file.len().max(1));
    let cut = read(&file, step);
    assert_eq!(whole, cut, "how a file is cut does not show");
    let Ok(items) = whole else { return };
    assert!(matches!(items.first(), Some(Item::Header(_))), "it says what it is");
    assert!(matches!(items.last(), Some(Item::End(_))), "it ends");
    let shorter = read(&file[..file.len() - 1], file.len()).unwrap_err();
    assert!(matches!(shorter, BadArchive::Damaged(damage) if damage.flaw == Flaw::Cut));
}

fn packed(lines: &[u8]) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.lines().extend_from_slice(lines);
    if !lines.ends_with(b"\n") {
        packer.lines().push(b'\n');
    }
    packer.pack().unwrap()
}

fn read(file: &[u8], step: usize) -> Result<Vec<Item>, BadArchive> {
    let mut reader = Reader::default();
    let mut items = Vec::new();
    for piece in file.chunks(step) {
        reader.feed(piece);
        while let Some(item) = reader.item()? {
            items.push(item);
        }
    }
    reader.finish();
    while let Some(item) = reader.item()? {
        items.push(item);
    }
    Ok(items)
}
