//! Certificates for trying things out: an authority of one's own, a certificate for this computer, one for a client.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

const SECONDS_OF_YEAR: u64 = 31_556_952;

/// Files of [`development`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevelopmentFiles {
    /// The authority's certificate, which everybody is to trust: `ca.pem`. Its key is not kept.
    pub authority: PathBuf,
    /// The broker's key and certificate: `server.pem`.
    pub server: PathBuf,
    /// A client's key and certificate: `client.pem`.
    pub client: Option<PathBuf>,
}

impl DevelopmentFiles {
    /// Where they are, or would be, in `dir`.
    pub fn of(dir: &Path, has_client: bool) -> DevelopmentFiles {
        DevelopmentFiles {
            authority: dir.join("ca.pem"),
            server: dir.join("server.pem"),
            client: has_client.then(|| dir.join("client.pem")),
        }
    }
}

/// Makes an authority, a certificate for `localhost`, `127.0.0.1`, `::1` and `names`, and one for the client `client` (`CN=NAME`), in `dir`.
/// Files that are there are replaced; only their owner can read those with keys.
///
/// # Errors
/// A name that cannot stand in a certificate; what the file system says.
pub fn development(dir: &Path, names: &[String], client: Option<&str>) -> io::Result<DevelopmentFiles> {
    fs::create_dir_all(dir)?;
    let mut authority = named("Millstream development authority", Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(authority, key()?).map_err(io::Error::other)?;
    let all = ["localhost", "127.0.0.1", "::1"].into_iter().map(str::to_owned).chain(names.iter().cloned());
    let server = named("localhost", all.collect())?;
    let files = DevelopmentFiles::of(dir, client.is_some());
    write(&files.authority, &authority.pem(), 0o644)?;
    let mut each = vec![(server, ExtendedKeyUsagePurpose::ServerAuth, &files.server)];
    if let (Some(name), Some(path)) = (client, &files.client) {
        each.push((named(name, Vec::new())?, ExtendedKeyUsagePurpose::ClientAuth, path));
    }
    for (mut params, purpose, path) in each {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = key()?;
        let certificate = params.signed_by(&key, &authority).map_err(io::Error::other)?;
        write(path, &(key.serialize_pem() + &certificate.pem()), 0o600)?;
    }
    Ok(files)
}

fn key() -> io::Result<KeyPair> {
    KeyPair::generate().map_err(io::Error::other)
}

/// For two years, which all clients take.
fn named(common: &str, alternatives: Vec<String>) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(alternatives).map_err(io::Error::other)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let year = 1970 + (seconds / SECONDS_OF_YEAR) as i32;
    params.not_before = rcgen::date_time_ymd(year - 1, 12, 1);
    params.not_after = rcgen::date_time_ymd(year + 1, 12, 31);
    Ok(params)
}

/// Puts the file in place by a rename, so that nobody sees a half of it.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
