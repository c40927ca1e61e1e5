//! What is wrong with the form of a file, without what stands in it: the line may hold a secret, and the log is read by more people.

/// Place and reason.
pub(super) fn describe(text: &str, error: &toml::de::Error) -> String {
    let reason = without_text(error.message());
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return reason };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
    format!("line {line}, column {column}: {reason}")
}

/// A value of the wrong type is named with its text.
fn without_text(reason: &str) -> String {
    let (begin, end) = (reason.find("string \""), reason.rfind("\", expected"));
    match (begin, end) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}string{}", &reason[..begin], &reason[end + 1..])
        }
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::ServerConfig;

    #[test]
    fn a_slip_is_told_by_its_place_and_without_what_stands_there() {
        for (text, told) in [
            ("\n\n lisen = 1", "line 3, column 2: unknown field `lisen`"),
            ("[admin]\nname = 'é', x", "line 2, column 11: "),
            ("admin = \"op:secret \\\" words\"", "line 1, column 9: invalid type: string, expected struct"),
            ("[limits]\nconnections = 'secret'", "line 2, column 15: invalid type: string, expected usize"),
            ("[turn]\nsecret = 'secret words'\nsecret = 'secret words'", "line 3, column 1: duplicate key"),
            ("[tls]\nkey = 'k.pem'", "missing field `certificate`"),
            ("listen = 'secret'", "invalid socket address syntax"),
        ] {
            let error = ServerConfig::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
            assert!(!error.contains("words") && !error.contains("'secret"), "{error}");
            assert!(!error.contains("\"secret") && !error.contains("op:"), "{error}");
        }
    }
}
