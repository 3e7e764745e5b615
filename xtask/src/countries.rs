//! The data set of `examples/countries`: 250 documents with a flag each, made from an npm package.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::step::{command, install_packages, root, run};

/// Makes the documents in `folder` if they are not there yet.
pub(crate) fn documents(folder: &Path) -> Result<PathBuf, anyhow::Error> {
    let file = folder.join("countries.jsonl");
    if file.exists() {
        return Ok(file);
    }
    install_packages("examples/countries")?;
    fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    // Under another name until it is whole, so that a run that is interrupted leaves no half of it.
    let part = folder.join("countries.jsonl.part");
    let output = File::create(&part).with_context(|| format!("write {}", part.display()))?;
    let example = root().join("examples/countries");
    run(command("node", &["documents.mjs"]).current_dir(example).stdout(output))?;
    fs::rename(&part, &file).with_context(|| format!("rename {}", part.display()))?;
    Ok(file)
}
