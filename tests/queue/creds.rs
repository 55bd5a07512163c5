//! Servers that let in who has a `.creds` file: a token that an account signed, and the key that it is for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::access::SEARCH;
use crate::searches::table;
use crate::setup::*;

/// A pair of Ed25519 keys in a file, with the first byte that NATS gives keys of its kind.
struct Key {
    name: &'static str,
    file: PathBuf,
    prefix: u8,
    public: Vec<u8>,
    seed: Vec<u8>,
}

const OPERATOR: u8 = 14 << 3;
const ACCOUNT: u8 = 0;
const USER: u8 = 20 << 3;
const SEED: u8 = 18 << 3;

fn openssl(args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).output().expect("openssl starts");
    assert!(output.status.success(), "{args:?}: {output:?}");
    output.stdout
}

impl Key {
    fn new(folder: &Path, name: &'static str, prefix: u8) -> Self {
        let file = folder.join(format!("{name}.pem"));
        let path = file.display().to_string();
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", &path]);
        let seed = openssl(&["pkey", "-in", &path, "-outform", "DER"]);
        let public = openssl(&["pkey", "-in", &path, "-pubout", "-outform", "DER"]);
        // Both end in the 32 bytes of the key (RFC 8410).
        let end = |der: Vec<u8>| der[der.len() - 32..].to_vec();
        Key { name, file, prefix, public: end(public), seed: end(seed) }
    }

    fn public(&self) -> String {
        base32(&[&[self.prefix], &self.public[..]].concat())
    }

    fn seed(&self) -> String {
        let first = [SEED | (self.prefix >> 5), (self.prefix & 31) << 3];
        base32(&[&first, &self.seed[..]].concat())
    }

    /// A token about `subject`, signed with this key.
    fn token(&self, subject: &Key, nats: Value) -> String {
        let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
        let claims = json!({
            "jti": subject.name, "iat": 1_700_000_000, "name": subject.name, "nats": nats,
            "iss": self.public(), "sub": subject.public(),
        });
        let text = [head, claims].map(|part| base64(part.to_string().as_bytes())).join(".");
        let signed = self.file.with_extension("text");
        fs::write(&signed, &text).expect("written");
        let (key, signed) = (self.file.display().to_string(), signed.display().to_string());
        let signature = openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", &signed]);
        format!("{text}.{}", base64(&signature))
    }
}

/// Bits in groups, without padding.
fn digits(bytes: &[u8], bits: usize, alphabet: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let digit = |group: usize| {
        (0..bits).fold(0, |digit, at| 2 * digit + usize::from(bit(group * bits + at)))
    };
    let groups = (8 * bytes.len()).div_ceil(bits);
    (0..groups).map(|group| char::from(alphabet[digit(group)])).collect()
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    digits(bytes, 6, alphabet)
}

/// With a check sum, CRC-16 of XMODEM, as NATS writes keys.
fn base32(bytes: &[u8]) -> String {
    let mut crc = 0_u16;
    for &byte in bytes {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
    }
    digits(&[bytes, &crc.to_le_bytes()].concat(), 5, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
}

/// What `nsc` writes for a user.
fn creds(token: &str, key: &Key) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        key.seed()
    )
}

#[test]
fn a_creds_file_lets_in() {
    if !has("openssl", "version") {
        return;
    }
    let keys = tempfile::tempdir().expect("a scratch folder");
    let key = |name, prefix| Key::new(keys.path(), name, prefix);
    let (operator, user, stranger) =
        (key("operator", OPERATOR), key("user", USER), key("stranger", USER));
    let (account, system) = (key("account", ACCOUNT), key("system", ACCOUNT));
    let limits = |storage: i32| {
        json!({
            "type": "account", "version": 2,
            "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1,
                "leaf": -1, "wildcards": true, "mem_storage": storage, "disk_storage": storage,
                "streams": -1, "consumer": -1,
            },
        })
    };
    let about_user = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let settings = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{ {}: {}, {}: {} }}",
        operator.token(&operator, json!({ "type": "operator", "version": 2 })),
        system.public(),
        account.public(),
        operator.token(&account, limits(-1)),
        system.public(),
        operator.token(&system, limits(0)),
    );
    let Some(server) = Server::start_with(&settings) else { return };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    let token = account.token(&user, about_user);
    for (name, key) in [("fine.creds", &user), ("stolen.creds", &stranger)] {
        fs::write(folder.join(name), creds(&token, key)).expect("written");
    }
    let url = server.url();
    for (name, more) in [("nobody", &[][..]), ("thief", &["--queue-creds", "stolen.creds"])] {
        let args = join(&[&["search"], &SEARCH[..], &[&url, "--name", name], more]);
        let mut refused = cellc(folder, name, &args);
        assert_eq!(refused.end().code(), Some(1), "{name}: {}", refused.said());
        assert!(refused.said().contains("cannot connect"), "{}", refused.said());
    }
    let fine = ["--creds", "fine.creds"];
    let args = ["worker", "--queue", &url, "--evaluator", "table:bench.csv", "--workers", "1"];
    let _worker = cellc(folder, "worker", &join(&[&args[..], &fine]));
    let args = join(&[&["search"], &SEARCH[..], &[&url, "--name", "fine"], &fine]);
    cellc(folder, "fine", &args).succeed();
    assert_eq!(ledger(folder, "fine").len(), 6);
}

/// Before anybody connects.
#[test]
fn a_creds_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    fs::write(folder.join("text.creds"), "me:secret\n").expect("written");
    let key = "-----BEGIN USER NKEY SEED-----\nSUAsecret\n------END USER NKEY SEED------\n";
    let token = "-----BEGIN NATS USER JWT-----\nabc.def\n------END NATS USER JWT------\n\n";
    fs::write(folder.join("broken.creds"), format!("{token}{key}")).expect("written");
    for (file, expected) in [
        ("none.creds", "cannot read `none.creds`: No such file"),
        ("text.creds", "queue-creds is `text.creds`: cannot parse user JWT"),
        ("broken.creds", "queue-creds is `broken.creds`: "),
    ] {
        let url = "nats://127.0.0.1:9";
        let args = join(&[&["search"], &SEARCH[..], &[url, "--queue-creds", file]]);
        let mut search = cellc(folder, "search", &args);
        assert_eq!(search.end().code(), Some(1));
        assert!(search.said().contains(expected), "{}", search.said());
        assert!(!search.said().contains("secret"), "{}", search.said());
    }
    assert!(!folder.join("runs").exists());
}
