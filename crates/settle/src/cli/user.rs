//! `settle user`.

use std::{
    io::{self, BufRead as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use settle::{
    config::{Config, Secret},
    load::{Client, Identity},
    local::Local,
    people::{ListedToken, State, Users, WantedToken},
    secrets::new_password,
};

use super::{complain, load, say, serve};

#[derive(Debug, Args)]
pub(super) struct User {
    #[command(subcommand)]
    what: What,
    /// The server. Without this, the one that runs on the data folder, or the folder itself when none
    /// does. The settings admin.user and admin.password say who asks.
    #[arg(long, value_name = "URL", global = true)]
    server: Option<String>,
    /// The data folder.
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<String>,
    /// The file that settings are read from.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Makes a user. The password is read from a line of the standard input, or made up and printed.
    Add {
        name: String,
        /// A role, as often as there are roles.
        #[arg(long = "role")]
        roles: Vec<String>,
        #[command(flatten)]
        password: Password,
    },
    /// Prints every user with their roles.
    List,
    /// Sets a user's password. Sessions made with the old one end.
    Passwd {
        name: String,
        #[command(flatten)]
        password: Password,
    },
    /// Keeps a user from signing in. Nothing of theirs is lost.
    Suspend {
        name: String,
        /// What the user is told.
        #[arg(long, default_value = "ask the administrator")]
        reason: String,
    },
    /// Lets a suspended user sign in again.
    Resume { name: String },
    /// Deletes a user with their databases, after a while in which that can be undone.
    Delete {
        name: String,
        /// Undoes it.
        #[arg(long)]
        undo: bool,
    },
    /// Makes a token for a user and prints it; or lists or revokes the user's tokens.
    Token(Token),
}

#[derive(Debug, Args)]
struct Password {
    /// Reads the password from a line of the standard input.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
struct Token {
    name: String,
    /// Prints the user's tokens instead.
    #[arg(long, conflicts_with = "revoke")]
    list: bool,
    /// Revokes the token of this id instead.
    #[arg(long, value_name = "ID")]
    revoke: Option<String>,
    /// The most that it may do: read, write, administer or everything.
    #[arg(long, default_value = "read")]
    most: String,
    /// A database that it is for, such as `notes` or `~ada/notes`, as often as there are databases.
    /// Without this, it is for all.
    #[arg(long = "database")]
    databases: Vec<String>,
    /// What the user will know it by.
    #[arg(long, default_value = "")]
    label: String,
    /// Days until it ends. Without this, it ends when it is revoked.
    #[arg(long)]
    days: Option<u64>,
}

impl User {
    pub(super) fn run(&self) -> Result<ExitCode, anyhow::Error> {
        let flags = self.data.iter().map(|it| ("data", it.clone())).collect();
        let config = super::resolve(self.config.as_deref(), flags)?.config;
        match &self.server {
            Some(url) => self.ask(&load::client(url, &config)?)?,
            None => self.ask_here(config)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn ask_here(&self, config: Config) -> Result<(), anyhow::Error> {
        serve::log_warnings()?;
        let runtime = serve::runtime()?;
        match runtime.block_on(Local::find(config.clone()))? {
            Local::Running { url } => self.ask(&load::client(&url, &config)?),
            Local::Own { server, admin } => {
                let client = Client::new(&server.url(), Identity::from(admin))?;
                let done = self.ask(&client);
                runtime.block_on(server.stop())?;
                done
            }
        }
    }

    fn ask(&self, client: &Client) -> Result<(), anyhow::Error> {
        let users = Users { client };
        match &self.what {
            What::Add { name, roles, password } => {
                let given = password.get()?;
                users
                    .add(name, roles, given.secret())
                    .with_context(|| format!("add the user {name}"))?;
                given.tell(name)?;
            }
            What::List => {
                for user in users.list().context("list the users")? {
                    let state = match user.state {
                        State::Active => String::new(),
                        State::Suspended { reason } => format!("\tsuspended: {reason}"),
                        State::Going { at } => format!("\tgoes at {at}"),
                    };
                    say(&format!("{}\t{}{state}", user.name, user.roles.join(",")))?;
                }
            }
            What::Passwd { name, password } => {
                let given = password.get()?;
                users
                    .set_password(name, given.secret())
                    .with_context(|| format!("set the password of {name}"))?;
                given.tell(name)?;
            }
            What::Suspend { name, reason } => {
                users.suspend(name, reason).with_context(|| format!("suspend {name}"))?;
            }
            What::Resume { name } => {
                users.resume(name).with_context(|| format!("let {name} sign in again"))?;
            }
            What::Delete { name, undo: true } => {
                users.restore(name).with_context(|| format!("keep {name}"))?;
            }
            What::Delete { name, undo: false } => {
                let at = users.delete(name).with_context(|| format!("delete {name}"))?;
                say(&format!("{name} goes at {at} (seconds since 1970); --undo takes it back"))?;
            }
            What::Token(token) => token.run(users)?,
        }
        Ok(())
    }
}

impl Token {
    fn run(&self, users: Users<'_>) -> Result<(), anyhow::Error> {
        let name = &self.name;
        if self.list {
            for token in users.tokens(name).with_context(|| format!("list tokens of {name}"))? {
                let ListedToken { id, label, most, databases, expires } = token;
                let databases = databases.map_or_else(|| "all".to_owned(), |all| all.join(","));
                let expires = expires.map_or_else(|| "-".to_owned(), |it| it.to_string());
                say(&format!("{id}\t{most}\t{databases}\t{expires}\t{label}"))?;
            }
            return Ok(());
        }
        if let Some(id) = &self.revoke {
            users.revoke_token(name, id).with_context(|| format!("revoke the token {id}"))?;
            return Ok(());
        }
        let wanted = WantedToken {
            label: self.label.clone(),
            most: self.most.clone(),
            databases: self.databases.clone(),
            days: self.days,
        };
        let made =
            users.make_token(name, &wanted).with_context(|| format!("make a token for {name}"))?;
        complain(&format!("the token {} of {name}, which is shown this once:", made.id));
        say(&made.token)?;
        Ok(())
    }
}

/// A password, and whether somebody has to be told.
enum Given {
    Known(Secret),
    Made(Secret),
}

impl Password {
    fn get(&self) -> Result<Given, anyhow::Error> {
        if !self.password_stdin {
            return Ok(Given::Made(new_password()));
        }
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("read the password")?;
        let password = line.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            bail!("read the password: the first line is empty");
        }
        Ok(Given::Known(Secret::new(password)))
    }
}

impl Given {
    fn secret(&self) -> &Secret {
        match self {
            Self::Known(secret) | Self::Made(secret) => secret,
        }
    }

    fn tell(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Known(_) => Ok(()),
            Self::Made(secret) => {
                complain(&format!("the password of {name}, which is shown this once:"));
                say(secret.reveal())
            }
        }
    }
}
