// tests/unit/test_authority.h: certificates for one test, made on the spot.
#ifndef PARTYWALL_TESTS_UNIT_TEST_AUTHORITY_H
#define PARTYWALL_TESTS_UNIT_TEST_AUTHORITY_H

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace partywall::test {

// A key and a certificate for it.
struct Identity {
  struct Free {
    void operator()(X509* one) const { X509_free(one); }
    void operator()(EVP_PKEY* one) const { EVP_PKEY_free(one); }
    void operator()(BIO* one) const { BIO_free(one); }
  };

  std::unique_ptr<X509, Free> certificate;
  std::unique_ptr<EVP_PKEY, Free> key;

  std::string pem() const {
    std::unique_ptr<BIO, Free> text(BIO_new(BIO_s_mem()));

    EXPECT_EQ(1, PEM_write_bio_X509(text.get(), certificate.get()));
    return taken(text.get());
  }
  std::string key_pem() const {
    std::unique_ptr<BIO, Free> text(BIO_new(BIO_s_mem()));

    EXPECT_EQ(1, PEM_write_bio_PrivateKey(text.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                          nullptr));
    return taken(text.get());
  }

 private:
  static std::string taken(BIO* text) {
    char* bytes = nullptr;
    long size = BIO_get_mem_data(text, &bytes);

    return {bytes, static_cast<size_t>(size)};
  }
};

// `extension` is subjectAltName's value; without it, the certificate is an authority's. Signed
// by `issuer`, or by itself. Valid for a day, from an hour ago.
inline Identity make_identity(const std::string& name, const std::string& extension = "",
                              const Identity* issuer = nullptr) {
  static long serial = 0;
  Identity made;

  made.key.reset(EVP_EC_gen("P-256"));
  made.certificate.reset(X509_new());

  X509* certificate = made.certificate.get();
  X509_NAME* subject = X509_get_subject_name(certificate);
  const Identity& signer = issuer ? *issuer : made;

  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate, made.key.get());
  X509_set_issuer_name(certificate, X509_get_subject_name(signer.certificate.get()));

  X509_EXTENSION* said =
      extension.empty()
          ? X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE")
          : X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, extension.c_str());

  EXPECT_TRUE(said);
  X509_add_ext(certificate, said, -1);
  X509_EXTENSION_free(said);
  EXPECT_GT(X509_sign(certificate, signer.key.get(), EVP_sha256()), 0);
  return made;
}

}  // namespace partywall::test

#endif
