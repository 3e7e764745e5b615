//! The reference of settings, as it stands in `docs/configuration.md`.

use std::fmt::Write as _;

use super::{FILE_DEFAULT, FILE_VARIABLE, settings::SETTINGS};

/// Markdown, made from the table of settings.
pub fn reference() -> String {
    let mut page = format!(
        "# Configuration\n\
        \n\
        <!-- made by `settle config --reference`; a test compares -->\n\
        \n\
        A setting is given as a flag, as a variable of the environment, or in a TOML file, and is\n\
        looked for in that order. The file is the one that `--config` or `{FILE_VARIABLE}` names, else\n\
        `{FILE_DEFAULT}` in the working folder if it is there. A dot in a name is a table in the file:\n\
        \n\
        ```toml\n\
        bind = \"0.0.0.0:5984\"\n\
        \n\
        [log]\n\
        format = \"json\"\n\
        ```\n\
        \n\
        `settle config` prints every value in force and where it came from. Names that are not listed\n\
        here are refused, in the file as in the environment.\n",
    );
    for setting in SETTINGS {
        let default = match setting.default {
            "" => "none".to_owned(),
            text => format!("`{text}`"),
        };
        let flag = setting.flag().map_or_else(String::new, |it| format!("flag `--{it}`, "));
        write!(
            page,
            "\n## `{}`\n\n{}\n\n- {}\n- default: {default}\n- {flag}variable `{}`\n",
            setting.name,
            setting.doc.trim(),
            setting.kind,
            setting.variable(),
        )
        .expect("a string takes whatever is written");
    }
    page
}
