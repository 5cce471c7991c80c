//! SCRAM, both sides. No channel binding, as in Kafka; passwords are taken as their UTF-8 bytes, without SASLprep, as Kafka does.
//!
//! ```text
//! client first   n,,n=USER,r=NONCE
//! server first   r=NONCE NONCE,s=SALT,i=ITERATIONS
//! client final   c=biws,r=NONCE NONCE,p=PROOF
//! server final   v=SIGNATURE
//! ```

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use subtle::ConstantTimeEq;

use super::{SaslError, Secret, TEXT_BYTES_MAX};

/// Fewest iterations, by the RFC and in Kafka.
pub const ITERATIONS_MIN: u32 = 4096;
/// Most iterations: each log-in costs as many, so that a larger number would be a way to keep the other side busy.
pub const ITERATIONS_MAX: u32 = 16_384;
/// Longest message that is looked at, in bytes.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Longest nonce and salt, in bytes.
const NONCE_BYTES_MAX: usize = 1024;
/// The header without channel binding, `n,,`, in base64, as the client repeats it.
const NO_BINDING: &str = "n,,";

/// Which hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hash {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl Hash {
    /// Both.
    pub const ALL: [Hash; 2] = [Hash::Sha256, Hash::Sha512];

    /// The mechanism's registered name.
    pub fn mechanism(self) -> &'static str {
        match self {
            Hash::Sha256 => "SCRAM-SHA-256",
            Hash::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Its number in Describe- and AlterUserScramCredentials.
    pub fn code(self) -> i8 {
        match self {
            Hash::Sha256 => 1,
            Hash::Sha512 => 2,
        }
    }

    /// The hash function behind a number.
    pub fn from_code(code: i8) -> Option<Hash> {
        Hash::ALL.into_iter().find(|hash| hash.code() == code)
    }

    /// Bytes of a key.
    pub fn bytes(self) -> usize {
        match self {
            Hash::Sha256 => digest::SHA256_OUTPUT_LEN,
            Hash::Sha512 => digest::SHA512_OUTPUT_LEN,
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    fn hmac(self, key: &[u8], text: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), text).as_ref().to_vec()
    }

    /// `Hi` of the RFC. Takes about a millisecond per 4096 iterations.
    fn salted_password(self, password: &str, salt: &[u8], iterations: u32) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut out = vec![0; self.bytes()];
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut out);
        out
    }
}

/// What a server keeps instead of a password: nobody can log in with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Which hash function.
    pub hash: Hash,
    /// Chance, so that equal passwords look different.
    pub salt: Vec<u8>,
    /// How often the hash is applied.
    pub iterations: u32,
    /// Hash of the client's key.
    pub stored_key: Vec<u8>,
    /// With which the server shows that it knows the user.
    pub server_key: Vec<u8>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl Credential {
    /// Of a password.
    pub fn new(hash: Hash, password: &Secret, salt: Vec<u8>, iterations: u32) -> Credential {
        let salted = hash.salted_password(password.reveal(), &salt, iterations);
        Credential::from_salted(hash, &salted, salt, iterations)
    }

    /// Of a password that was salted elsewhere.
    pub fn from_salted(hash: Hash, salted_password: &[u8], salt: Vec<u8>, iterations: u32) -> Credential {
        let client_key = hash.hmac(salted_password, b"Client Key");
        let server_key = hash.hmac(salted_password, b"Server Key");
        Credential { hash, salt, iterations, stored_key: hash.digest(&client_key), server_key }
    }

    /// Whether it is of this password. Takes as long for a right one as for a wrong one.
    pub fn is_of(&self, password: &Secret) -> bool {
        let other = Credential::new(self.hash, password, self.salt.clone(), self.iterations);
        self.stored_key.ct_eq(&other.stored_key).into()
    }
}

/// The salted password, which AlterUserScramCredentials carries.
pub fn salted_password(hash: Hash, password: &Secret, salt: &[u8], iterations: u32) -> Vec<u8> {
    hash.salted_password(password.reveal(), salt, iterations)
}

/// A salt for a name that nobody has: always the same one, so that it does not tell whether the name is somebody's.
pub fn salt_of_nobody(secret: &[u8], hash: Hash, user: &str, salt_bytes: usize) -> Vec<u8> {
    let mut salt = hash.hmac(secret, user.as_bytes());
    salt.truncate(salt_bytes);
    salt
}

/// The client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFirst {
    /// Who it wants to be.
    pub user: String,
    nonce: String,
    /// Everything before the user: `n,,`.
    header: String,
    /// Everything from the user on.
    bare: String,
}

impl ClientFirst {
    /// Reads it.
    pub fn parse(message: &[u8]) -> Result<ClientFirst, SaslError> {
        let text = text(message)?;
        let malformed = SaslError::Malformed("a first message is n,,n=USER,r=NONCE");
        let mut parts = text.splitn(3, ',');
        let (Some(binding), Some(authorization), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        if binding != "n" && binding != "y" {
            return Err(SaslError::Unsupported("channel binding"));
        }
        let mut attributes = bare.split(',');
        let user = attributes.next().and_then(|one| one.strip_prefix("n=")).ok_or(malformed)?;
        let nonce = attributes.next().and_then(|one| one.strip_prefix("r=")).ok_or(malformed)?;
        if nonce.is_empty() || nonce.len() > NONCE_BYTES_MAX || !is_printable(nonce) {
            return Err(SaslError::Malformed("the nonce is empty, too long or not printable"));
        }
        if attributes.any(|one| one == "tokenauth=true") {
            return Err(SaslError::Unsupported("delegation tokens"));
        }
        let user = unescape(user).filter(|user| !user.is_empty() && user.len() <= TEXT_BYTES_MAX);
        let user = user.ok_or(SaslError::Malformed("the user's name is empty, too long or wrongly escaped"))?;
        let acts_for = match authorization {
            "" => None,
            other => Some(other.strip_prefix("a=").and_then(unescape).ok_or(malformed)?),
        };
        if acts_for.is_some_and(|other| other != user) {
            return Err(SaslError::Unsupported("acting for another user"));
        }
        let header = format!("{binding},{authorization},");
        Ok(ClientFirst { user, nonce: nonce.to_owned(), header, bare: bare.to_owned() })
    }
}

/// A server that waits for the client's final message.
pub struct Server {
    credential: Credential,
    first: ClientFirst,
    nonce: String,
    server_first: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("user", &self.first.user).finish_non_exhaustive()
    }
}

impl Server {
    /// Answers the first message; `nonce` is fresh chance, printable and without commas.
    pub fn begin(credential: Credential, first: ClientFirst, nonce: &str) -> (Server, Vec<u8>) {
        let nonce = format!("{}{nonce}", first.nonce);
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&credential.salt), credential.iterations);
        let message = server_first.clone().into_bytes();
        (Server { credential, first, nonce, server_first }, message)
    }

    /// Checks the final message and gives the answer to a right one.
    pub fn finish(self, message: &[u8]) -> Result<Vec<u8>, SaslError> {
        let malformed = SaslError::Malformed("a final message is c=BINDING,r=NONCE,p=PROOF");
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|one| one.strip_prefix("c=")).ok_or(malformed)?;
        let nonce = attributes.next().and_then(|one| one.strip_prefix("r=")).ok_or(malformed)?;
        let binding = BASE64.decode(binding).map_err(|_| malformed)?;
        let proof = BASE64.decode(proof).map_err(|_| malformed)?;
        if binding != self.first.header.as_bytes() || nonce != self.nonce {
            return Err(SaslError::Malformed("binding or nonce are not those of the first message"));
        }
        let Credential { hash, stored_key, server_key, .. } = &self.credential;
        let signed = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        let signature = hash.hmac(stored_key, signed.as_bytes());
        if proof.len() != signature.len() {
            return Err(SaslError::Wrong);
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if !bool::from(hash.digest(&client_key).ct_eq(stored_key)) {
            return Err(SaslError::Wrong);
        }
        Ok(format!("v={}", BASE64.encode(hash.hmac(server_key, signed.as_bytes()))).into_bytes())
    }
}

/// A client that waits for the server's first message.
#[derive(Debug)]
pub struct Client {
    hash: Hash,
    password: Secret,
    nonce: String,
    bare: String,
}

impl Client {
    /// The first message; `nonce` is fresh chance, printable and without commas.
    pub fn begin(hash: Hash, user: &str, password: Secret, nonce: &str) -> (Client, Vec<u8>) {
        let bare = format!("n={},r={nonce}", escape(user));
        let message = format!("{NO_BINDING}{bare}").into_bytes();
        (Client { hash, password, nonce: nonce.to_owned(), bare }, message)
    }

    /// The final message.
    pub fn answer(self, server_first: &[u8]) -> Result<(ServerProof, Vec<u8>), SaslError> {
        let malformed = SaslError::Malformed("the broker's first message is r=NONCE,s=SALT,i=ITERATIONS");
        let server_first = text(server_first)?;
        let mut attributes = server_first.split(',');
        let nonce = attributes.next().and_then(|one| one.strip_prefix("r=")).ok_or(malformed)?;
        let salt = attributes.next().and_then(|one| one.strip_prefix("s=")).ok_or(malformed)?;
        let iterations = attributes.next().and_then(|one| one.strip_prefix("i=")).ok_or(malformed)?;
        let salt = BASE64.decode(salt).map_err(|_| malformed)?;
        let iterations: u32 = iterations.parse().map_err(|_| malformed)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() || nonce.len() > 2 * NONCE_BYTES_MAX {
            return Err(SaslError::Malformed("the broker's nonce does not begin with ours"));
        }
        // A broker of another make may ask for more than ours keeps; without end it must not be.
        if !(ITERATIONS_MIN..=64 * ITERATIONS_MAX).contains(&iterations) {
            return Err(SaslError::Malformed("the number of iterations is out of bounds"));
        }
        let hash = self.hash;
        let without_proof = format!("c={},r={nonce}", BASE64.encode(NO_BINDING));
        let signed = format!("{},{server_first},{without_proof}", self.bare);
        let salted = hash.salted_password(self.password.reveal(), &salt, iterations);
        let client_key = hash.hmac(&salted, b"Client Key");
        let signature = hash.hmac(&hash.digest(&client_key), signed.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let expected = hash.hmac(&hash.hmac(&salted, b"Server Key"), signed.as_bytes());
        Ok((ServerProof { expected }, format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes()))
    }
}

/// What the server's final message has to show.
pub struct ServerProof {
    expected: Vec<u8>,
}

impl fmt::Debug for ServerProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerProof")
    }
}

impl ServerProof {
    /// Checks the server's final message.
    pub fn check(self, server_final: &[u8]) -> Result<(), SaslError> {
        let text = text(server_final)?;
        let signature = text.split(',').next().and_then(|one| one.strip_prefix("v=")).ok_or(SaslError::Wrong)?;
        let signature = BASE64.decode(signature).map_err(|_| SaslError::ServerUnknown)?;
        if bool::from(signature.ct_eq(&self.expected)) { Ok(()) } else { Err(SaslError::ServerUnknown) }
    }
}

fn text(message: &[u8]) -> Result<&str, SaslError> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(SaslError::Malformed("it is too long"));
    }
    std::str::from_utf8(message).map_err(|_| SaslError::Malformed("it is not UTF-8"))
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescape(name: &str) -> Option<String> {
    let plain = name.replace("=2C", ",").replace("=3D", "\0");
    (!plain.contains('=') && !name.contains('\0')).then(|| plain.replace('\0', "="))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "user";
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    fn pencil() -> Secret {
        Secret::new("pencil")
    }

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
        let credential = Credential::new(Hash::Sha256, &pencil(), salt, 4096);
        let (client, first) = Client::begin(Hash::Sha256, USER, pencil(), NONCE);
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let first = ClientFirst::parse(&first).expect("our own message");
        assert_eq!(first.user, USER);
        let (server, second) = Server::begin(credential, first, SERVER_NONCE);
        let expected = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(second, expected.as_bytes());
        let (proof, third) = client.answer(&second).expect("our own message");
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(third, expected.as_bytes());
        let last = server.finish(&third).expect("the right password");
        assert_eq!(last, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(proof.check(&last), Ok(()));
    }

    fn exchange(hash: Hash, user: &str, password: &str, kept: &str) -> Result<(), SaslError> {
        let credential = Credential::new(hash, &Secret::new(kept), vec![7; 16], 4096);
        let (client, first) = Client::begin(hash, user, Secret::new(password), "abc");
        let first = ClientFirst::parse(&first)?;
        assert_eq!(first.user, user);
        let (server, second) = Server::begin(credential, first, "def");
        let (proof, third) = client.answer(&second)?;
        proof.check(&server.finish(&third)?)
    }

    #[test]
    fn both_hashes_take_the_right_password_and_no_other() {
        for hash in Hash::ALL {
            assert_eq!(exchange(hash, "a=b,c", "p,=ü", "p,=ü"), Ok(()));
            assert_eq!(exchange(hash, "me", "x", "y"), Err(SaslError::Wrong));
            let kept = Credential::new(hash, &pencil(), vec![1; 16], 4096);
            assert!(kept.is_of(&pencil()) && !kept.is_of(&Secret::new("pencils")));
            assert!(!format!("{kept:?}").contains("key"));
        }
    }

    #[test]
    fn what_is_not_scram_is_refused() {
        for bad in
            ["", "n,,", "n,,r=x,n=me", "p=tls-unique,,n=me,r=x", "n,,n=,r=x", "n,,n=a=b,r=x", "n,a=other,n=me,r=x"]
        {
            assert!(ClientFirst::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(ClientFirst::parse(b"n,,n=me,r=x,tokenauth=true").is_err());
        let begin = || {
            let first = ClientFirst::parse(b"n,,n=me,r=x").expect("well formed");
            Server::begin(Credential::new(Hash::Sha256, &pencil(), vec![1; 16], 4096), first, "y").0
        };
        for bad in
            ["", "c=biws,r=xy", "c=biws,r=xz,p=AAAA", "c=eSws,r=xy,p=AAAA", "c=biws,r=xy,p=AAAA", "c=biws,r=xy,p=?"]
        {
            assert!(begin().finish(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in
            ["r=abc,s=AAAA,i=4096", "r=zzzz,s=AAAA,i=4096", "r=abcd,s=AAAA,i=1", "r=abcd,s=AAAA,i=999999999", "e=no"]
        {
            let (client, _) = Client::begin(Hash::Sha256, "me", pencil(), "abc");
            assert!(client.answer(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_salt_of_nobody_is_always_the_same() {
        let salt = |secret: &[u8], user| salt_of_nobody(secret, Hash::Sha256, user, 16);
        assert_eq!(salt(b"s", "a"), salt(b"s", "a"));
        assert_ne!(salt(b"s", "a"), salt(b"s", "b"));
        assert_ne!(salt(b"s", "a"), salt(b"t", "a"));
    }
}
