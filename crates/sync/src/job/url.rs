//! URLs of peers and proxies, as far as a job must understand them.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::error::UrlProblem;
use crate::limits::URL_BYTES_MAX;

/// A URL without the user and the password that it was given with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// In lower case.
    pub scheme: String,
    /// In lower case; an IPv6 address in brackets.
    pub host: String,
    /// Where it was given.
    pub port: Option<u16>,
    /// With the leading slash, percent-encoded as it was given.
    pub path: String,
    /// Without the question mark.
    pub query: Option<String>,
}

/// The schemes of peers, and those of proxies.
pub(super) const PEER_SCHEMES: &[&str] = &["http", "https"];
pub(super) const PROXY_SCHEMES: &[&str] = &["http", "https", "socks5"];

impl Url {
    /// The URL, and the user and the password in it, percent-decoded.
    pub(super) fn parse(
        text: &str,
        schemes: &[&str],
    ) -> Result<(Self, Option<(String, String)>), UrlProblem> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlProblem::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\') {
            return Err(UrlProblem::Character);
        }
        let scheme_problem =
            if schemes == PEER_SCHEMES { UrlProblem::Scheme } else { UrlProblem::ProxyScheme };
        let (scheme, rest) = text.split_once("://").ok_or(scheme_problem)?;
        let scheme = scheme.to_ascii_lowercase();
        if !schemes.contains(&&*scheme) {
            return Err(scheme_problem);
        }
        if rest.contains('#') {
            return Err(UrlProblem::Fragment);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, authority),
        };
        let (host, port) = split_port(address)?;
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        let user = userinfo.map(|it| {
            let (user, password) = it.split_once(':').unwrap_or((it, ""));
            (decoded(user), decoded(password))
        });
        Ok((Self { scheme, host: host.to_ascii_lowercase(), port, path, query }, user))
    }

    /// Whom a request to it goes to: `https://example.org:443`.
    pub(crate) fn origin(&self) -> String {
        let usual = match &*self.scheme {
            "https" => 443,
            "socks5" => 1_080,
            _ => 80,
        };
        format!("{}://{}:{}", self.scheme, self.host, self.port.unwrap_or(usual))
    }

    /// The port, unless it is the one that everybody takes for this scheme, or CouchDB's.
    pub(crate) fn unusual_port(&self) -> Option<u16> {
        let usual: &[u16] = if self.scheme == "https" { &[443] } else { &[80, 5_984] };
        self.port.filter(|port| !usual.contains(port))
    }
}

/// The text of a URL without the user and the password in it, as it was spelt.
pub(crate) fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    format!("{scheme}://{address}{rest}")
}

fn split_port(address: &str) -> Result<(&str, Option<u16>), UrlProblem> {
    let (host, port) = match (address.strip_prefix('['), address.rsplit_once(':')) {
        (Some(rest), _) => {
            let end = rest.find(']').ok_or(UrlProblem::Host)? + 2;
            let (host, rest) = address.split_at(end);
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(UrlProblem::Host),
            }
        }
        (None, Some((host, port))) => (host, Some(port)),
        (None, None) => (address, None),
    };
    let fits = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ipv6) => {
            ipv6.contains(':')
                && ipv6.bytes().all(|it| it.is_ascii_hexdigit() || b":.%".contains(&it))
        }
        None => !host.is_empty() && !host.contains(['[', ']', ':', '@']),
    };
    if !fits {
        return Err(UrlProblem::Host);
    }
    let port = match port {
        None | Some("") => None,
        Some(port) if port.bytes().all(|it| it.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| UrlProblem::Port)?)
        }
        Some(_) => return Err(UrlProblem::Port),
    };
    Ok((host, port))
}

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}
