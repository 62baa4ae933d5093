// agent/access/tls_identity.h: the certificate that the endpoint shows: out of files, read
// again when they change, or made in memory.
#ifndef PARTYWALL_AGENT_ACCESS_TLS_IDENTITY_H
#define PARTYWALL_AGENT_ACCESS_TLS_IDENTITY_H

#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/source/kubernetes/kept_file.h"
#include "maps/result.h"

namespace partywall::access {

struct FreeTls {
  void operator()(X509* one) const { X509_free(one); }
  void operator()(EVP_PKEY* one) const { EVP_PKEY_free(one); }
  void operator()(BIO* one) const { BIO_free(one); }
};
using Certificate = std::unique_ptr<X509, FreeTls>;
using PrivateKey = std::unique_ptr<EVP_PKEY, FreeTls>;

// A certificate, its key, and the certificates between it and an authority.
struct CertifiedKey {
  Certificate certificate;
  PrivateKey key;
  std::vector<Certificate> chain;
};

// Both PEM; the certificate's own comes first. Fails when one of them cannot be read, the key
// is encrypted, or it is another certificate's.
Result<CertifiedKey> parse_certified_key(const std::string& certificate,
                                         const std::string& key);
// ECDSA P-256, signed by itself, for `name` as a DNS name; good for a year.
Result<CertifiedKey> make_certified_key(const std::string& name);

class TlsIdentity {
 public:
  // Fails when they cannot be used now. Later the last good pair stays, and the log says so.
  static Result<std::unique_ptr<TlsIdentity>> of_files(const std::string& certificate,
                                                       const std::string& key);
  static Result<std::unique_ptr<TlsIdentity>> self_signed(const std::string& name);

  // Gives the connection the certificate as it is now. Fails when the library does.
  Result<void> show(SSL* connection);

 private:
  struct Files {
    kubernetes::KeptFile certificate;
    kubernetes::KeptFile key;
    std::string read = {};  // both texts, as they were tried last
  };

  TlsIdentity() = default;
  Result<void> read_files();
  void renew();

  std::optional<Files> files_;  // none: made in memory
  std::string name_;
  CertifiedKey shown_;
  std::chrono::system_clock::time_point made_;
};

}  // namespace partywall::access

#endif
