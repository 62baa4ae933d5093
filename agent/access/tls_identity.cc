// agent/access/tls_identity.cc: certificates through OpenSSL.
#include "agent/access/tls_identity.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <spdlog/spdlog.h>

namespace partywall::access {
namespace {

constexpr auto kRenewAfter = std::chrono::hours(24 * 180);
constexpr long kValidSeconds = 365 * 86400;
constexpr long kBackdatedSeconds = 3600;  // clocks differ
constexpr size_t kMaxCommonName = 64;

Error tls_error(std::string_view what) {
  char words[256] = "no reason given";
  unsigned long code = ERR_peek_last_error();

  if (code) ERR_error_string_n(code, words, sizeof(words));
  ERR_clear_error();
  return fail("{}: {}", what, words);
}

std::unique_ptr<BIO, FreeTls> reader(const std::string& text) {
  return std::unique_ptr<BIO, FreeTls>(
      BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

bool add_extension(X509* certificate, int kind, const std::string& value) {
  X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  bool added = made && X509_add_ext(certificate, made, -1) == 1;

  X509_EXTENSION_free(made);
  return added;
}

bool describe(X509* certificate, const std::string& name) {
  unsigned char serial[16];
  ASN1_INTEGER* number = X509_get_serialNumber(certificate);
  X509_NAME* subject = X509_get_subject_name(certificate);
  std::string common = name.substr(0, kMaxCommonName);

  if (RAND_bytes(serial, sizeof(serial)) != 1) return false;

  uint64_t value = 0;

  for (size_t i = 0; i < sizeof(value); i++) value = value << 8 | serial[i];
  return X509_set_version(certificate, X509_VERSION_3) &&
         ASN1_INTEGER_set_uint64(number, value) &&
         X509_gmtime_adj(X509_getm_notBefore(certificate), -kBackdatedSeconds) &&
         X509_gmtime_adj(X509_getm_notAfter(certificate), kValidSeconds) &&
         X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(common.c_str()), -1,
                                    -1, 0) &&
         X509_set_issuer_name(certificate, subject) &&
         add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, NID_subject_alt_name, "DNS:" + name);
}

}  // namespace

Result<CertifiedKey> parse_certified_key(const std::string& certificate,
                                         const std::string& key) {
  CertifiedKey parsed;
  auto text = reader(certificate);
  auto key_text = reader(key);
  // Nobody is there to type one.
  auto no_password = [](char*, int, int, void*) { return 0; };

  ERR_clear_error();
  parsed.certificate.reset(PEM_read_bio_X509(text.get(), nullptr, no_password, nullptr));
  if (!parsed.certificate) return tls_error("the certificate is no PEM");
  while (X509* next = PEM_read_bio_X509(text.get(), nullptr, no_password, nullptr))
    parsed.chain.emplace_back(next);
  ERR_clear_error();  // the end of the text
  parsed.key.reset(PEM_read_bio_PrivateKey(key_text.get(), nullptr, no_password, nullptr));
  if (!parsed.key) return tls_error("the key is no PEM without a password");
  if (X509_check_private_key(parsed.certificate.get(), parsed.key.get()) != 1)
    return tls_error("the key is not the certificate's");
  return parsed;
}

Result<CertifiedKey> make_certified_key(const std::string& name) {
  CertifiedKey made{Certificate(X509_new()), PrivateKey(EVP_EC_gen("P-256")), {}};

  if (!made.certificate || !made.key || !describe(made.certificate.get(), name) ||
      !X509_set_pubkey(made.certificate.get(), made.key.get()) ||
      X509_sign(made.certificate.get(), made.key.get(), EVP_sha256()) <= 0)
    return tls_error("make a certificate for " + name);
  return made;
}

Result<std::unique_ptr<TlsIdentity>> TlsIdentity::of_files(const std::string& certificate,
                                                           const std::string& key) {
  std::unique_ptr<TlsIdentity> identity(new TlsIdentity);

  identity->files_.emplace(Files{kubernetes::KeptFile(certificate), kubernetes::KeptFile(key)});
  if (auto read = identity->read_files(); !read)
    return std::move(read.error()).within(fmt::format("{} and {}", certificate, key));
  return identity;
}

Result<std::unique_ptr<TlsIdentity>> TlsIdentity::self_signed(const std::string& name) {
  std::unique_ptr<TlsIdentity> identity(new TlsIdentity);
  auto made = make_certified_key(name);

  if (!made) return std::move(made.error());
  identity->name_ = name;
  identity->shown_ = std::move(*made);
  identity->made_ = std::chrono::system_clock::now();
  return identity;
}

Result<void> TlsIdentity::read_files() {
  auto certificate = files_->certificate.text();
  auto key = files_->key.text();

  if (!certificate) return std::move(certificate.error());
  if (!key) return std::move(key.error());

  std::string both = *certificate + *key;

  if (both == files_->read) return {};
  files_->read = std::move(both);

  auto parsed = parse_certified_key(*certificate, *key);

  if (!parsed) return std::move(parsed.error());
  shown_ = std::move(*parsed);
  return {};
}

void TlsIdentity::renew() {
  if (files_) {
    // Tried once; then the files are as they were.
    if (auto read = read_files(); !read)
      spdlog::warn("https: a new certificate, which cannot be used: {}",
                   read.error().message());
    return;
  }
  if (std::chrono::system_clock::now() - made_ < kRenewAfter) return;
  made_ = std::chrono::system_clock::now();
  if (auto made = make_certified_key(name_))
    shown_ = std::move(*made);
  else
    spdlog::warn("https: {}", made.error().message());
}

Result<void> TlsIdentity::show(SSL* connection) {
  renew();
  ERR_clear_error();
  if (SSL_use_certificate(connection, shown_.certificate.get()) != 1 ||
      SSL_use_PrivateKey(connection, shown_.key.get()) != 1)
    return tls_error("show the certificate");
  SSL_clear_chain_certs(connection);
  for (const Certificate& one : shown_.chain)
    if (SSL_add1_chain_cert(connection, one.get()) != 1)
      return tls_error("show the certificate");
  return {};
}

}  // namespace partywall::access
