//! The subject of a certificate as Kafka writes it: RFC 2253, `CN=me,OU=here,O=them,C=CH`.
//!
//! Only what a TLS stack has checked comes here; every length is held against what is there all the same.

/// Names of attribute types, by their object identifiers in DER (RFC 2253, 2.3).
const NAMES: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const VERSION: u8 = 0xa0;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1e;

/// The subject of a certificate in DER. `None`: it has none, or the bytes are not a certificate.
pub(crate) fn of_certificate(der: &[u8]) -> Option<String> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    // Version, serial number, signature's algorithm, issuer, validity; then the subject.
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    for _ in 0..4 {
        fields = element(fields)?.2;
    }
    let (tag, mut names, _) = element(fields)?;
    if tag != SEQUENCE {
        return None;
    }
    let mut parts = Vec::new();
    while !names.is_empty() {
        let (tag, mut together, rest) = element(names)?;
        if tag != SET {
            return None;
        }
        names = rest;
        let mut part = Vec::new();
        while !together.is_empty() {
            let (_, pair, rest) = element(together)?;
            together = rest;
            part.push(attribute(pair)?);
        }
        parts.push(part.join("+"));
    }
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Tag, content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let bytes = usize::from(first & 0x7f);
        if bytes == 0 || bytes > 4 {
            return None;
        }
        let (long, after) = rest.split_at_checked(bytes)?;
        length = long.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

fn attribute(pair: &[u8]) -> Option<String> {
    let (tag, kind, rest) = element(pair)?;
    if tag != OBJECT_IDENTIFIER {
        return None;
    }
    let (tag, value, _) = element(rest)?;
    let name = NAMES.iter().find(|(identifier, _)| *identifier == kind).map(|(_, name)| *name);
    match (name, text(tag, value)) {
        (Some(name), Some(text)) => Some(format!("{name}={}", escape(&text))),
        _ => {
            let hex: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("{}=#{hex}", name.map_or_else(|| dotted(kind), str::to_owned)))
        }
    }
}

fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => String::from_utf8(value.to_vec()).ok(),
        TELETEX_STRING => Some(value.iter().map(|byte| char::from(*byte)).collect()),
        BMP_STRING => {
            let units: Vec<u16> = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).ok()
        }
        _ => None,
    }
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    let last = text.chars().count().saturating_sub(1);
    for (index, c) in text.chars().enumerate() {
        let at_edge = (c == ' ' && (index == 0 || index == last)) || (c == '#' && index == 0);
        if at_edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn dotted(identifier: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0u64;
    for byte in identifier {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - 40 * first]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn subject(parts: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        parts.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        let key = KeyPair::generate().expect("a key");
        of_certificate(params.self_signed(&key).expect("a certificate").der()).expect("a subject")
    }

    #[test]
    fn a_subject_is_written_as_java_writes_it() {
        let parts = [
            (DnType::CountryName, "CH"),
            (DnType::OrganizationName, "Mill, Stream + Co"),
            (DnType::OrganizationalUnitName, "#1 "),
            (DnType::CommonName, "alice"),
        ];
        assert_eq!(subject(&parts), "CN=alice,OU=\\#1\\ ,O=Mill\\, Stream \\+ Co,C=CH");
        let mail = [(DnType::CustomDnType(vec![1, 2, 840, 113549, 1, 9, 1]), "a@b")];
        assert_eq!(subject(&mail), "1.2.840.113549.1.9.1=#0c03614062");
    }

    #[test]
    fn damaged_bytes_are_no_subject_and_no_panic() {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
        let der = certificate.der().to_vec();
        for cut in 0..der.len() {
            of_certificate(&der[..cut]);
            let mut damaged = der.clone();
            damaged[cut] ^= 0xff;
            of_certificate(&damaged);
        }
    }
}
