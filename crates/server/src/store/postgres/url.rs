//! Where a PostgreSQL server is and how it is spoken to, from one URL.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// From asking for a connection to having it.
const CONNECTING: Duration = Duration::from_secs(5);
/// An answer that TCP does not see acknowledged for this long means that the other end is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(10);
const USUAL_PORT: u16 = 5432;

/// The URL of a PostgreSQL database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or `postgresql://…`. A path as host
/// (`postgres://offhook@%2Fvar%2Frun%2Fpostgresql/offhook`) is a Unix socket. Of the usual parameters `sslmode` is `disable`, or
/// `require` or `verify-full`, which both check the certificate; without it, connections beyond this machine are encrypted.
/// `sslrootcert` is a PEM file with the certificates to trust in place of the system's. `Debug` and `Display` show address and database only.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(super) tls: PostgresTls,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PostgresTls {
    Off,
    /// And the certificate checked.
    Verified {
        roots: Option<PathBuf>,
    },
}

/// Why a text is not the URL of a database. It is not repeated here: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// Not of the form: correct it.
    #[error(
        "a store is postgres://USER:PASSWORD@HOST:PORT/DATABASE; what is not a letter or digit in user or password stands as %XX"
    )]
    Form,
    /// No host: name one.
    #[error("the URL of the store names no host, e.g. postgres://offhook@db.example.org/offhook")]
    Host,
    /// Another way of encrypting: choose one of those.
    #[error(
        "sslmode of the store's URL is disable, or require or verify-full, which both check the certificate"
    )]
    SslMode,
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(PostgresUrlError::Form);
        }
        let (base, parameters) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut roots, mut others) = (None, None, Vec::new());
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => roots = Some(path(value)?),
                _ => others.push(parameter),
            }
        }
        let rest = if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) };
        let mut config: Config = rest.parse().map_err(|_| PostgresUrlError::Form)?;
        if config.get_hosts().is_empty() {
            return Err(PostgresUrlError::Host);
        }
        let tls = match mode {
            Some("disable") => PostgresTls::Off,
            Some("require" | "verify-full") => PostgresTls::Verified { roots },
            Some(_) => return Err(PostgresUrlError::SslMode),
            None if config.get_hosts().iter().all(is_here) => PostgresTls::Off,
            None => PostgresTls::Verified { roots },
        };
        config.ssl_mode(if tls == PostgresTls::Off { SslMode::Disable } else { SslMode::Require });
        config.connect_timeout(CONNECTING).tcp_user_timeout(UNACKNOWLEDGED);
        if config.get_application_name().is_none() {
            config.application_name("offhook");
        }
        Ok(Self { config, tls })
    }
}

/// A percent-encoded path.
fn path(text: &str) -> Result<PathBuf, PostgresUrlError> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        bytes.push(match (first, more) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(PostgresUrlError::Form);
                u8::try_from(digit(*high)? * 16 + digit(*low)?).map_err(|_| PostgresUrlError::Form)?
            }
            (b'%', _) => return Err(PostgresUrlError::Form),
            (byte, _) => *byte,
        });
    }
    String::from_utf8(bytes).map(PathBuf::from).map_err(|_| PostgresUrlError::Form)
}

/// Whether nothing on the way to this host leaves the machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

impl PostgresUrl {
    /// The same with this password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// Whether it has a password in it, which a command line would show to everyone on the machine.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(USUAL_PORT);
            let comma = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                #[cfg(unix)]
                Host::Unix(folder) => write!(f, "{comma}{}:{port}", folder.display())?,
            }
        }
        match self.config.get_dbname() {
            Some(database) => write!(f, "/{database}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

/// The fuzz body: nothing leaves the machine in the clear unless the URL says so.
///
/// # Panics
/// When it would.
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(url) = text.parse::<PostgresUrl>() else { return };
    let hosts = url.config.get_hosts();
    assert!(!hosts.is_empty(), "{text}");
    assert!(
        url.tls != PostgresTls::Off || hosts.iter().all(is_here) || text.contains("sslmode=disable"),
        "{text}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> PostgresUrl {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_shown_is_where_it_is_and_never_the_password() {
        let url = read("postgres://offhook:s%40crets@db.example.org:6543/calls?application_name=x");
        assert_eq!(url.to_string(), "db.example.org:6543/calls");
        assert_eq!(url.config.get_password(), Some(&b"s@crets"[..]));
        for shown in [format!("{url:?}"), format!("{:?}", url.clone().with_password("s@crets"))] {
            assert!(!shown.contains("crets"), "{shown}");
        }
        assert!(url.has_password() && !read("postgres://offhook@db/calls").has_password());
        assert_eq!(
            read("postgres://o@%2Fvar%2Frun%2Fpostgresql/calls").to_string(),
            "/var/run/postgresql:5432/calls"
        );
    }

    #[test]
    fn beyond_this_machine_it_is_encrypted_unless_told_otherwise() {
        let verified = PostgresTls::Verified { roots: None };
        for here in ["localhost", "127.0.0.1", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            assert_eq!(read(&format!("postgres://o@{here}/c")).tls, PostgresTls::Off, "{here}");
            assert_eq!(read(&format!("postgres://o@{here}/c?sslmode=require")).tls, verified);
        }
        assert_eq!(read("postgres://o@db/c").tls, verified);
        assert_eq!(read("postgres://o@localhost,db/c").tls, verified);
        assert_eq!(read("postgres://o@db/c?sslmode=disable").tls, PostgresTls::Off);
        assert_eq!(
            read("postgres://o@db/c?sslmode=verify-full&sslrootcert=%2Fetc%2Fca%20own.pem").tls,
            PostgresTls::Verified { roots: Some("/etc/ca own.pem".into()) }
        );
    }

    #[test]
    fn what_is_no_url_says_what_is_and_repeats_nothing() {
        let error = |text: &str| text.parse::<PostgresUrl>().unwrap_err();
        assert_eq!(error("mysql://x"), PostgresUrlError::Form);
        assert_eq!(error("host=db password=secret"), PostgresUrlError::Form);
        assert_eq!(error("postgres://o:p@db:port/c"), PostgresUrlError::Form);
        for wrong in ["%4", "%+4", "%-4", "%zz"] {
            assert_eq!(error(&format!("postgres://o@db/c?sslrootcert={wrong}")), PostgresUrlError::Form);
        }
        assert_eq!(error("postgres:///c"), PostgresUrlError::Host);
        assert_eq!(error("postgres://o@db/c?sslmode=prefer"), PostgresUrlError::SslMode);
    }
}
