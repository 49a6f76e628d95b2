//! Finds the parts of a value that are secret by themselves: people print a token from a kubeconfig, not the
//! whole file.

use std::collections::HashSet;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use super::{
    addresses,
    fields::{self, Field},
};

/// The shortest part that is masked by itself, if its name or place says that it is a credential.
pub(super) const MIN_CREDENTIAL_BYTES: usize = 6;
/// The same for other parts. Lines of a kubeconfig such as `apiVersion: v1` must stay legible.
pub(super) const MIN_WORD_BYTES: usize = 16;

/// How many levels of text within text are read: JSON in JSON, base64 in both.
const MAX_DEPTH: usize = 4;
/// Words end at these characters, and at white space.
const SEPARATORS: &[u8] = b"\"'`=,;:@{}[]()<>&";
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// In which spellings a part is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelled {
    /// As it is. There may be very many such parts.
    Plainly,
    /// Also as JSON and shells quote it.
    Quoted,
    /// In every encoding.
    Anyhow,
}

/// Calls `take` with the value and all its parts, some more than once. None has white space at its ends.
pub(super) fn of(value: &[u8], take: &mut dyn FnMut(&[u8], Spelled)) {
    Parts { take, depth: 0 }.whole(value, Spelled::Anyhow);
}

struct Parts<'a> {
    take: &'a mut dyn FnMut(&[u8], Spelled),
    depth: usize,
}

impl Parts<'_> {
    fn whole(&mut self, value: &[u8], spelled: Spelled) {
        let value = value.trim_ascii();
        (self.take)(value, spelled);
        // A shell prints the value like this if it is not quoted.
        let words: Vec<&[u8]> = words_of(value).collect();
        let words = words.join(&b' ');
        if words != value {
            (self.take)(&words, Spelled::Plainly);
        }
        if self.depth < MAX_DEPTH {
            self.depth += 1;
            self.inside(value);
            self.depth -= 1;
        }
    }

    fn inside(&mut self, value: &[u8]) {
        // In a single line, only a name or a format shows where the secret is.
        let several = value.contains(&b'\n');
        let mut block = None;
        for line in value.split(|&byte| byte == b'\n') {
            self.block(line, &mut block);
            let fields: Vec<Field<'_>> = fields::of_line(line).collect();
            for field in &fields {
                self.field(field, several);
            }
            if several {
                let names: HashSet<&[u8]> =
                    fields.iter().filter(|field| field.leads).map(|field| field.name).collect();
                self.words(line, &names);
            }
            if fields.iter().any(|field| field.opens_block() && field.is_credential()) {
                block = Some(indentation(line));
            }
        }
        self.logins(value);
        for info in addresses::of(value) {
            if let Some(password) = info.password {
                self.credential(password);
                if let Some(decoded) = addresses::percent_decoded(password) {
                    self.credential(&decoded);
                }
            }
            if info.user.len() >= MIN_WORD_BYTES {
                self.credential(info.user);
            }
        }
        self.json(value);
    }

    /// Takes a line of a YAML block, if the name that opens the block is a credential's.
    fn block(&mut self, line: &[u8], block: &mut Option<usize>) {
        let text = line.trim_ascii();
        if text.is_empty() {
            return;
        }
        if block.is_some_and(|outer| indentation(line) <= outer) {
            *block = None;
        }
        if block.is_some() && !is_armor(text) {
            self.credential(text);
        }
    }

    fn field(&mut self, field: &Field<'_>, several: bool) {
        let credential = field.is_credential();
        if !credential && !several {
            return;
        }
        for value in field.values() {
            let value = value.trim_ascii();
            if credential {
                self.credential(value);
            } else if value.len() >= MIN_WORD_BYTES {
                (self.take)(value, Spelled::Quoted);
            }
            if matches!(value.first(), Some(b'{' | b'[')) && self.depth < MAX_DEPTH {
                self.depth += 1;
                self.json(value);
                self.depth -= 1;
            }
        }
    }

    fn words(&mut self, line: &[u8], names: &HashSet<&[u8]>) {
        if is_armor(line.trim_ascii()) {
            return;
        }
        let is_name = |word: &[u8]| names.contains(word) && fields::is_of_words(word);
        for word in words_of(line) {
            let inner = trimmed(word);
            if inner.len() >= MIN_WORD_BYTES && !is_name(inner) {
                (self.take)(word, Spelled::Plainly);
            }
            for part in parts_of(word) {
                if part.len() >= MIN_WORD_BYTES && part.len() < word.len() && !is_name(part) {
                    (self.take)(part, Spelled::Plainly);
                }
            }
        }
    }

    /// Takes `login NAME password WORD`, the format of a netrc file.
    fn logins(&mut self, value: &[u8]) {
        let mut login = false;
        let mut before: &[u8] = b"";
        for word in words_of(value) {
            login |= before == b"login";
            if login && before == b"password" {
                self.credential(word);
            }
            before = word;
        }
    }

    fn credential(&mut self, value: &[u8]) {
        let value = value.trim_ascii();
        if value.len() < MIN_CREDENTIAL_BYTES {
            return;
        }
        (self.take)(value, Spelled::Anyhow);
        // Keys of a kubeconfig, or the user and the password for a registry.
        if self.depth < MAX_DEPTH
            && let Ok(decoded) = BASE64.decode(value)
            && is_text(&decoded)
        {
            if let Some(colon) = decoded.iter().position(|&byte| byte == b':')
                && !decoded.contains(&b'\n')
            {
                self.depth += 1;
                self.credential(&decoded[colon + 1..]);
                self.depth -= 1;
            }
            if decoded.trim_ascii().len() >= MIN_CREDENTIAL_BYTES {
                self.whole(&decoded, Spelled::Anyhow);
            }
        }
    }

    fn json(&mut self, value: &[u8]) {
        if !matches!(value.first(), Some(b'{' | b'[' | b'"')) {
            return;
        }
        let documents = serde_json::Deserializer::from_slice(value).into_iter::<Value>();
        for document in documents.map_while(Result::ok) {
            self.leaves("", &document);
        }
    }

    fn leaves(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| self.leaves(name, value)),
            Value::Array(items) => items.iter().for_each(|item| self.leaves(name, item)),
            Value::String(text) if fields::names_credential(name.as_bytes()) => {
                self.credential(text.as_bytes());
                self.deeper(text, Spelled::Anyhow, MIN_CREDENTIAL_BYTES);
            }
            Value::String(text) => self.deeper(text, Spelled::Quoted, MIN_WORD_BYTES),
            Value::Number(number) if fields::names_credential(name.as_bytes()) => {
                self.credential(number.to_string().as_bytes());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn deeper(&mut self, text: &str, spelled: Spelled, min: usize) {
        if text.trim_ascii().len() >= min && self.depth < MAX_DEPTH {
            self.whole(text.as_bytes(), spelled);
        }
    }
}

fn words_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn trimmed(word: &[u8]) -> &[u8] {
    let is_inner = |byte: &u8| !SEPARATORS.contains(byte);
    let start = word.iter().position(is_inner).unwrap_or(word.len());
    let end = word.iter().rposition(is_inner).map_or(start, |last| last + 1);
    &word[start..end]
}

/// The parts of a word between separators, and between escaped line ends and tabs.
fn parts_of(word: &[u8]) -> impl Iterator<Item = &[u8]> {
    word.split(|byte| SEPARATORS.contains(byte)).flat_map(|part| {
        let mut escaped = false;
        let ends = part.iter().enumerate().filter_map(move |(at, &byte)| {
            escaped = byte == b'\\' && !escaped;
            (escaped && part.get(at + 1).is_some_and(|next| b"nrt".contains(next))).then_some(at)
        });
        let mut start = 0;
        ends.chain([part.len()]).map(move |end| {
            let piece = &part[start..end];
            start = end + 2;
            piece
        })
    })
}

/// `-----BEGIN CERTIFICATE-----`.
fn is_armor(line: &[u8]) -> bool {
    line.starts_with(b"-----BEGIN ") || line.starts_with(b"-----END ")
}

fn indentation(line: &[u8]) -> usize {
    line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(line.len())
}

fn is_text(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_ok_and(|text| {
        text.chars().all(|character| !character.is_control() || "\n\r\t".contains(character))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{mask::Masker, patterns::Patterns, secrets::Secrets};

    fn patterns(secret: &str) -> Patterns {
        let mut secrets = Secrets::default();
        secrets.add("NAME", secret.as_bytes());
        secrets.take_patterns().unwrap()
    }

    #[track_caller]
    fn assert_masked(secret: &str, texts: &[&str]) {
        let patterns = patterns(secret);
        for text in texts {
            assert_eq!(patterns.mask_str(&format!("<{text}>\n")), "<***>\n", "{text}");
        }
    }

    #[track_caller]
    fn assert_legible(secret: &str, texts: &[&str]) {
        let patterns = patterns(secret);
        for text in texts {
            assert_eq!(patterns.mask_str(text), *text);
        }
    }

    const JSON: &str = "{\n  \"user\": \"deployer\",\n  \"password\": \"JsonPassw0rd-abcdefghijk\",\n  \"pin\": 12345678,\n  \
        \"region\": \"eu-central-1\",\n  \"smtpPass\": \"h\\u00fcnter\\\"2\"\n}\n";
    const GCP: &str = "{\n  \"type\": \"service_account\",\n  \"project_id\": \"my-project\",\n  \"private_key_id\": \
        \"3f2a9c\",\n  \"private_key\": \"-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\\nkLnnc1\
        n4PPqqt3Jg==\\n-----END PRIVATE KEY-----\\n\",\n  \"auth_provider_x509_cert_url\": \
        \"https://www.googleapis.com/oauth2/v1/certs\",\n  \"universe_domain\": \"googleapis.com\"\n}\n";
    const ENV: &str = "# the shop\nAPP_ENV=production\nLOG_LEVEL_DEFAULT=info\nexport DB_PASSWORD=hunter2!\nTOKEN=\"a b'c$d\"\n\
        API_KEY='it'\\''s ours'  # rotated\nDATABASE_URL=postgres://shop:p%40ssw0rd@db.shop:5432/shop\nPGPASSFILE=/tmp/x\n";
    const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: prod\npreferences: {}\nclusters:\n- name: prod\n  cluster:\n    \
        server: https://api.example.com:6443\n    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUI=\n\
        contexts:\n- context:\n    cluster: prod\n    namespace: default\n    user: ci\n  name: prod\nusers:\n- name: ci\n  user:\n    \
        token: \"abc.DEF-123\"\n    client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpNSUlFb3dJQkFBS0NBUUVBCi0tLS0tRU5EIFJTQSBQUklWQVRFIEtFWS0tLS0tCg==\n";
    const DOCKER: &str = "{\"auths\":{\"https://registry.example.com/v1/\":{\"username\":\"robot\",\"email\":\"ci@example.com\",\
        \"auth\":\"cm9ib3Q6czNjcjN0LXB3\"}}}";
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\nRTESMBAGA1UE\n\
        -----END CERTIFICATE-----\n";

    #[test]
    fn json_gives_up_its_strings() {
        assert_masked(
            JSON,
            &["JsonPassw0rd-abcdefghijk", "12345678", "h\u{fc}nter\"2", "h\\u00fcnter\\\"2", "aMO8bnRlciIy"],
        );
        assert_masked("{\"a\":1,\"password\":\"hunter2!\"}", &["hunter2!", "68756e7465723221"]);
        assert_masked(
            "[{\"tokens\":[\"abcdef\",\"ghijkl\"]}] {\"note\":\"quite long and plain\"}",
            &["abcdef", "ghijkl", "quite long and plain"],
        );
        // A string that holds JSON, or an environment.
        assert_masked("{\"config\":\"{\\\"db\\\":{\\\"pwd\\\":\\\"hunter2!\\\"}}\"}", &["hunter2!"]);
        assert_masked("{\"env\":\"A=1\\nDB_PASSWORD=hunter2!\\n\"}", &["hunter2!"]);
    }

    #[test]
    fn a_private_key_in_json_is_masked_as_lines_and_as_it_stands() {
        assert_masked(
            GCP,
            &[
                "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nkLnnc1n4PPqqt3Jg==\n-----END PRIVATE KEY-----",
                "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7",
                "kLnnc1n4PPqqt3Jg==",
                "3f2a9c",
            ],
        );
    }

    #[test]
    fn an_environment_gives_up_what_is_sourced_from_it() {
        assert_masked(
            ENV,
            &[
                "hunter2!",
                "a b'c$d",
                "a b'\\''c$d",
                "it's ours",
                "p%40ssw0rd",
                "p@ssw0rd",
                "postgres://shop:p%40ssw0rd@db.shop:5432/shop",
            ],
        );
    }

    #[test]
    fn a_kubeconfig_gives_up_its_credentials() {
        assert_masked(
            KUBECONFIG,
            &["abc.DEF-123", "MIIEowIBAAKCAQEA", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUI"],
        );
    }

    #[test]
    fn a_block_of_yaml_gives_up_its_lines() {
        let secret = "a: 1\npassword: |\n  hunter2!\n\n  second\nother: |\n  not-this\n";
        assert_masked(secret, &["hunter2!", "second"]);
        assert_legible(secret, &["not-this", "other", "password"]);
    }

    #[test]
    fn a_registry_s_password_is_masked() {
        assert_masked(DOCKER, &["s3cr3t-pw", "cm9ib3Q6czNjcjN0LXB3", "robot:s3cr3t-pw"]);
    }

    #[test]
    fn connection_strings_logins_and_headers_give_up_their_passwords() {
        assert_masked("postgres://user:hunter2!@db/x", &["hunter2!", "postgres://user:hunter2!@db/x"]);
        assert_masked("Server=db;User=sa;Password=hunter2!;Timeout=3", &["hunter2!"]);
        assert_masked("machine h login me password hunter2!", &["hunter2!"]);
        assert_masked("Authorization: Bearer abc.def", &["abc.def"]);
        assert_masked("https://ghp_0123456789abcdef@github.com/a/b", &["ghp_0123456789abcdef"]);
        assert_masked("<server>\n  <id>x</id>\n  <password>hunter2!</password>\n</server>\n", &["hunter2!"]);
    }

    #[test]
    fn words_end_at_separators_and_escaped_line_ends() {
        assert_masked(
            "x\ny: [\"0123456789abcdef\",{z=fedcba9876543210}]",
            &["0123456789abcdef", "fedcba9876543210"],
        );
        assert_masked(
            "x\nAAAAAAAAAAAAAAAAA\\nBBBBBBBBBBBBBBBBB\\tC",
            &["AAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBB"],
        );
        // A name made of words stays legible at the place of a name, a token never does.
        assert_masked("x\n0123456789abcdefXYZ: alice", &["0123456789abcdefXYZ"]);
        assert_masked("x\nlist: correct-horse-battery-staple", &["correct-horse-battery-staple"]);
    }

    #[test]
    fn a_value_without_its_quotes_in_the_shell_is_masked() {
        assert_masked("  two  leading blanks ", &["two  leading blanks", "two leading blanks"]);
        assert_masked("line one\nline two", &["line one line two"]);
    }

    #[test]
    fn what_must_stay_legible_does() {
        assert_legible(
            KUBECONFIG,
            &[
                "apiVersion: v1\nkind: Config\ncurrent-context: prod\npreferences: {}\nclusters:\n- name: prod\n  cluster:\n",
                "    certificate-authority-data: x\n    namespace: default\n    user: ci\n    client-key-data: y token: z\n",
                "error: client-certificate-data and certificate-authority-data of context prod in namespace default",
                "-----BEGIN RSA PRIVATE KEY-----",
            ],
        );
        assert_legible(
            GCP,
            &[
                "\"type\": \"service_account\", \"auth_provider_x509_cert_url\": private_key_id, my-project googleapis.com",
            ],
        );
        assert_legible(
            ENV,
            &[
                "APP_ENV LOG_LEVEL_DEFAULT=warn production info DB_PASSWORD= postgres:// db.shop:5432 the shop rotated",
            ],
        );
        assert_legible(
            DOCKER,
            &["{\"auths\":{\"username\":\"robot\",\"auth\": registry.example.com ci@example.com"],
        );
        assert_legible(PEM, &["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "RTESMBAGA1UE"]);
        assert_legible(
            JSON,
            &["\"user\": \"deployer\", \"region\": \"eu-central-1\", \"password\", \"smtpPass\""],
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn a_credential_leaks_out_of_no_format(
            password in "[!-~]{6,40}",
            filler in "[a-z]{1,8}",
            size in 1usize..40,
        ) {
            let json = serde_json::to_string(&password).unwrap();
            let single = password.replace('\'', "'\\''");
            let yaml = password.replace('\'', "''");
            let url = crate::record::hex(password.as_bytes());
            let url: String = url.as_bytes().chunks(2).flat_map(|pair| ["%", str::from_utf8(pair).unwrap()]).collect();
            let sources = [
                format!("{{\"user\":\"{filler}\",\"db\":{{\"password\":{json}}}}}"),
                format!("[\n  {{\n    \"apiToken\" : {json} ,\n    \"x\": 1\n  }}\n]\n"),
                format!("A={filler}\nexport DB_PASSWORD='{single}'\nB=1\n"),
                format!("A={filler}\nDB_PASSWORD='{single}' # {filler}\n"),
                format!("user:\n  name: {filler}\n  password: '{yaml}'\n"),
                format!("user:\n  name: {filler}\n  password: {json}\n"),
                format!("password: |-\n  {password}\nname: {filler}\n"),
                format!("[{filler}]\npassword = {filler}{password}\n"),
                format!("https://{filler}:{url}@host/"),
            ];
            for (index, source) in sources.iter().enumerate() {
                let patterns = patterns(source);
                let password = if index == 7 { format!("{filler}{password}") } else { password.clone() };
                // A comment, for some formats.
                prop_assume!(index != 7 || !password.ends_with(','));
                let hex = crate::record::hex(password.as_bytes());
                for shown in [&password, &json[1..json.len() - 1].to_owned(), &hex] {
                    if index == 7 && *shown != hex && *shown != password {
                        continue;
                    }
                    let mut masker = Masker::new(patterns.clone());
                    let mut out = vec![];
                    for piece in format!("{{{shown}}}\n").as_bytes().chunks(size) {
                        out.extend_from_slice(masker.push(piece));
                    }
                    out.extend_from_slice(masker.finish());
                    let out = String::from_utf8(out).unwrap();
                    prop_assert!(out.contains("***"), "{source}: {out}");
                    prop_assert!(out.len() <= "{***}\n".len() + 2, "{source}: {out}");
                }
            }
        }
    }
}
