//! `settle slow-proxy`.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::Args;
use settle::{
    config::Value as _,
    limits::SLOW_PROXY_CUT_EVERY_MIN,
    slow_proxy::{Conditions, Cuts, Rate, SlowProxy as Proxy, Stalls},
    system::SystemEntropy,
};
use settle_model::time::Entropy as _;

use super::{
    say,
    serve::{self, Signals},
};

#[derive(Debug, Args)]
pub(super) struct SlowProxy {
    /// Where clients connect. Port 0 takes any free one, which is printed.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The server, as HOST:PORT.
    #[arg(long, value_name = "HOST:PORT", value_parser = server)]
    to: String,
    /// How long everything takes each way, as in 150ms.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = Duration::parse)]
    latency: Duration,
    /// Up to how much longer a piece takes, as in 40ms.
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = Duration::parse)]
    jitter: Duration,
    /// What the link carries a second, each way, all connections together, as in 1Mbit or 125kB.
    #[arg(long)]
    rate: Option<Rate>,
    /// How long the link stands still, and once in which time, as in 2s/20s.
    #[arg(long, value_name = "TIME/TIME")]
    stall: Option<Stalls>,
    /// How long a connection lives on average before it is reset, as in 30s: any time up to twice that.
    #[arg(long, value_name = "TIME", value_parser = Duration::parse)]
    reset: Option<Duration>,
    /// How often all connections are reset at once, as in 5s.
    #[arg(long, value_name = "TIME", value_parser = cut_every)]
    cut_every: Option<Duration>,
    /// How long nobody can connect after a cut, as in 500ms.
    #[arg(long, value_name = "TIME", default_value = "0ms", requires = "cut_every", value_parser = Duration::parse)]
    cut_for: Duration,
    /// Decides whatever the rest leaves to chance. Without it, one is made up and printed.
    #[arg(long)]
    seed: Option<u64>,
}

impl SlowProxy {
    pub(super) fn run(self) -> Result<ExitCode, anyhow::Error> {
        serve::log_warnings()?;
        serve::runtime()?.block_on(self.carry())
    }

    async fn carry(self) -> Result<ExitCode, anyhow::Error> {
        let mut signals = Signals::listen().context("listen for signals")?;
        let seed = self.seed.unwrap_or_else(random);
        let conditions = self.conditions()?;
        let proxy = Proxy::start(self.listen, self.to, conditions, seed);
        let proxy = proxy.await.context("start the proxy")?;
        say(&format!("seed {seed}"))?;
        say(&format!("listening on {}", proxy.address()))?;
        signals.next().await;
        say(&proxy.stop().await.to_string())?;
        Ok(ExitCode::SUCCESS)
    }

    fn conditions(&self) -> Result<Conditions, anyhow::Error> {
        let cuts = self.cut_every.map(|every| Cuts { every, length: self.cut_for });
        if cuts.is_some_and(|cuts| cuts.length >= cuts.every) {
            bail!("cut the link: --cut-for has to be shorter than --cut-every");
        }
        Ok(Conditions {
            latency: self.latency,
            jitter: self.jitter,
            rate: self.rate,
            stalls: self.stall,
            reset_after: self.reset,
            cuts,
        })
    }
}

fn server(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty() && !host.contains('/'));
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(text.to_owned()),
        Some(Err(_)) | None => Err("expected a host and a port, as in 127.0.0.1:5984".into()),
    }
}

fn cut_every(text: &str) -> Result<Duration, String> {
    let every = Duration::parse(text)?;
    if every < SLOW_PROXY_CUT_EVERY_MIN {
        return Err(format!("expected at least {SLOW_PROXY_CUT_EVERY_MIN:?}"));
    }
    Ok(every)
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
