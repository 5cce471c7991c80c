//! Who may talk to the page. A web site that somebody visits can point its own name at 127.0.0.1 (DNS rebinding) or send requests
//! across origins; both are told by the `Host` and `Origin` headers, which a page cannot forge.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Names under which the page answers.
#[derive(Debug, Clone)]
pub struct Hosts {
    bound: IpAddr,
    allowed: Vec<String>,
}

impl Hosts {
    /// Loopback names, the address the listener is bound to, and `allowed` (names without port, any case).
    pub fn new(bound: SocketAddr, allowed: &[String]) -> Hosts {
        Hosts { bound: bound.ip(), allowed: allowed.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// May a request with this `Host` (`name`, `name:port`, `[v6]:port`) be answered?
    pub fn admits(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else { return false };
        let host = host.to_ascii_lowercase();
        if host == "localhost" || host.ends_with(".localhost") || self.allowed.contains(&host) {
            return true;
        }
        match host.parse::<IpAddr>() {
            // An address in numbers cannot be rebound, so whoever listens on every address answers to every number.
            Ok(address) => address.is_loopback() || address == self.bound || self.bound.is_unspecified(),
            Err(_) => false,
        }
    }

    /// Is the request one of our own page, or of no page at all (curl, Prometheus)?
    pub fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), String> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        if !self.admits(host) {
            return Err(format!(
                "this page does not answer to the name {host:?}: open it by the address it is bound to, \
                 or allow the name with --http-name"
            ));
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let origin = origin.to_str().unwrap_or("");
            let same = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
            if !same {
                return Err(format!("requests from pages of {origin:?} are refused; only this page itself may ask"));
            }
        }
        let site = headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
        if path.starts_with("/api/") && matches!(site, Some("cross-site" | "same-site")) {
            return Err("requests from pages of other sites are refused; only this page itself may ask".to_owned());
        }
        if method != Method::GET && method != Method::HEAD {
            return Err("the console only reads; use GET".to_owned());
        }
        Ok(())
    }
}

/// The host part of an authority, without port and brackets.
fn host_of(authority: &str) -> Option<&str> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(host);
    }
    match authority.split_once(':') {
        Some((host, port)) if is_port(port) => Some(host),
        Some(_) => None,
        None => Some(authority),
    }
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit())
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses strangers, and tells the browser what our pages will never do.
pub async fn guard(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let verdict = hosts.check(request.method(), request.uri().path(), request.headers());
    let mut response = match verdict {
        Ok(()) => next.run(request).await,
        Err(reason) => (StatusCode::FORBIDDEN, reason + "\n").into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(bound: &str, allowed: &[&str]) -> Hosts {
        let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
        Hosts::new(bound.parse().expect("an address"), &allowed)
    }

    #[test]
    fn loopback_names_are_admitted_and_others_are_not() {
        let hosts = hosts("127.0.0.1:8080", &[]);
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.0.0.1:18080",
            "[::1]:8080",
            "[::1]",
            "app.localhost:1",
        ] {
            assert!(hosts.admits(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example:8080",
            "192.168.1.7:8080",
            "127.0.0.1:x",
            "[::1",
            "[::1]x",
            "a:1:2",
        ] {
            assert!(!hosts.admits(bad), "{bad}");
        }
    }

    #[test]
    fn a_listener_on_every_address_answers_to_numbers_but_not_to_names() {
        let hosts = hosts("0.0.0.0:8080", &["Stream.Example"]);
        assert!(hosts.admits("192.168.1.7:8080"));
        assert!(hosts.admits("stream.example:8080"));
        assert!(!hosts.admits("rebound.example:8080"));
    }

    #[test]
    fn another_origin_is_refused_even_with_a_good_host() {
        let hosts = hosts("127.0.0.1:8080", &[]);
        let check = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            hosts.check(&Method::GET, "/api/v1/overview", &headers)
        };
        assert!(check(&[("host", "127.0.0.1:8080")]).is_ok());
        assert!(check(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")]).is_ok());
        assert!(check(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:9999")]).is_err());
        assert!(check(&[("host", "127.0.0.1:8080"), ("origin", "null")]).is_err());
        assert!(check(&[("host", "127.0.0.1:8080"), ("sec-fetch-site", "cross-site")]).is_err());
        assert!(check(&[]).is_err());
    }
}
