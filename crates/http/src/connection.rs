//! What is known of a connection before anything was asked on it.

use std::net::IpAddr;

use http::HeaderMap;

use crate::limits::PROXIES_MAX;

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connection {
    /// The other end of the socket, which may be a proxy. `None` for requests that came from no socket.
    pub peer: Option<IpAddr>,
    /// Whether TLS protects it.
    pub encrypted: bool,
}

impl Connection {
    /// Where the client is. A trusted proxy says so in `X-Forwarded-For`, to which each adds who asked it, so
    /// that it is read from its end until somebody is not trusted.
    pub(crate) fn client(self, headers: &HeaderMap, proxies: &[IpAddr]) -> Option<IpAddr> {
        let mut client = self.peer?.to_canonical();
        let values = headers.get_all("x-forwarded-for").into_iter();
        let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
        let mut hops = values.iter().rev().flat_map(|value| value.rsplit(','));
        while proxies.contains(&client) {
            let Some(Ok(before)) = hops.next().map(|hop| hop.trim().parse::<IpAddr>()) else {
                break;
            };
            client = before.to_canonical();
        }
        Some(client)
    }

    /// Whether the client's end is encrypted, be it by a proxy, which says so in the headers.
    pub(crate) fn is_secure(self, headers: &HeaderMap) -> bool {
        let says =
            |name, what: &str| headers.get(name).is_some_and(|it| it.as_bytes() == what.as_bytes());
        self.encrypted || says("x-forwarded-proto", "https") || says("x-forwarded-ssl", "on")
    }
}

pub(crate) fn proxies(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty())
}

pub(crate) fn check_proxies(text: &str) -> Result<(), String> {
    if proxies(text).count() <= PROXIES_MAX && proxies(text).all(|it| it.parse::<IpAddr>().is_ok())
    {
        return Ok(());
    }
    Err(format!("expected at most {PROXIES_MAX} IP addresses with commas between"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_say_where_a_request_comes_from() {
        let proxies = ["127.0.0.1", "10.0.0.9"].map(|it| it.parse().unwrap());
        let client = |peer: &str, forwarded: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", http::HeaderValue::from_static(value));
            }
            let connection = Connection { peer: Some(peer.parse().unwrap()), encrypted: false };
            connection.client(&headers, &proxies).unwrap().to_string()
        };
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "not trusted");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(client("::ffff:127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("127.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.9"]), "198.51.100.7");
        assert_eq!(client("127.0.0.1", &["1.1.1.1", "198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("127.0.0.1", &["1.1.1.1, nonsense"]), "127.0.0.1");
    }
}
