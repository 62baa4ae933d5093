// tests/unit/access_tls_test.cc: certificates out of files and out of memory.
#include <gmock/gmock.h>
#include <openssl/x509v3.h>

#include "agent/access/tls_identity.h"
#include "tests/unit/temporary_folder.h"
#include "tests/unit/test_authority.h"

namespace partywall::access {
namespace {

using testing::HasSubstr;

class TlsIdentityTest : public testing::Test {
 protected:
  struct FreeSsl {
    void operator()(SSL_CTX* one) const { SSL_CTX_free(one); }
    void operator()(SSL* one) const { SSL_free(one); }
  };

  void write(const test::Identity& identity) {
    folder_.write("tls.crt", identity.pem());
    folder_.write("tls.key", identity.key_pem());
  }
  Result<std::unique_ptr<TlsIdentity>> open() {
    return TlsIdentity::of_files(folder_.path("tls.crt"), folder_.path("tls.key"));
  }
  // Whether a new connection is shown that certificate, with its key.
  bool shows(TlsIdentity& identity, X509* wanted) {
    std::unique_ptr<SSL_CTX, FreeSsl> context(SSL_CTX_new(TLS_server_method()));
    std::unique_ptr<SSL, FreeSsl> connection(SSL_new(context.get()));
    auto shown = identity.show(connection.get());

    EXPECT_TRUE(shown) << shown.error().message();
    return SSL_check_private_key(connection.get()) == 1 &&
           X509_cmp(SSL_get_certificate(connection.get()), wanted) == 0;
  }
  std::string why_not() {
    auto opened = open();

    return opened ? "it opened" : opened.error().message();
  }

  test::TemporaryFolder folder_;
};

TEST_F(TlsIdentityTest, FollowsItsFiles) {
  test::Identity first = test::make_identity("first", "DNS:node");
  test::Identity second = test::make_identity("second", "DNS:node");

  write(first);

  auto identity = open();

  ASSERT_TRUE(identity) << identity.error().message();
  EXPECT_TRUE(shows(**identity, first.certificate.get()));
  write(second);
  EXPECT_TRUE(shows(**identity, second.certificate.get()));
}

TEST_F(TlsIdentityTest, HalfAChangeChangesNothing) {
  test::Identity first = test::make_identity("first", "DNS:node");
  test::Identity second = test::make_identity("second", "DNS:node");

  write(first);

  auto identity = open();

  ASSERT_TRUE(identity);
  folder_.write("tls.crt", second.pem());
  EXPECT_TRUE(shows(**identity, first.certificate.get()));
  folder_.write("tls.key", "nonsense");
  EXPECT_TRUE(shows(**identity, first.certificate.get()));
  folder_.write("tls.key", second.key_pem());
  EXPECT_TRUE(shows(**identity, second.certificate.get()));
}

TEST_F(TlsIdentityTest, AChainGoesWithIt) {
  test::Identity authority = test::make_identity("authority");
  test::Identity own = test::make_identity("own", "DNS:node", &authority);
  auto parsed = parse_certified_key(own.pem() + authority.pem(), own.key_pem());

  ASSERT_TRUE(parsed) << parsed.error().message();
  ASSERT_EQ(1u, parsed->chain.size());
  EXPECT_EQ(0, X509_cmp(authority.certificate.get(), parsed->chain[0].get()));
}

TEST_F(TlsIdentityTest, SaysWhatIsWrongWithTheFiles) {
  test::Identity own = test::make_identity("own", "DNS:node");
  test::Identity other = test::make_identity("other", "DNS:node");

  EXPECT_THAT(why_not(), HasSubstr("tls.crt"));
  write(own);
  EXPECT_EQ("it opened", why_not());
  folder_.write("tls.key", other.key_pem());
  EXPECT_THAT(why_not(), HasSubstr("the key is not the certificate's"));
  folder_.write("tls.key", "nonsense");
  EXPECT_THAT(why_not(), HasSubstr("the key is no PEM"));
  folder_.write("tls.crt", "nonsense");
  EXPECT_THAT(why_not(), HasSubstr("the certificate is no PEM"));
}

TEST_F(TlsIdentityTest, SignsItsOwn) {
  auto made = make_certified_key("node-1");

  ASSERT_TRUE(made) << made.error().message();

  X509* certificate = made->certificate.get();

  EXPECT_EQ(1, X509_check_private_key(certificate, made->key.get()));
  EXPECT_EQ(1, X509_verify(certificate, made->key.get()));
  EXPECT_EQ(1, X509_check_host(certificate, "node-1", 0, 0, nullptr));
  EXPECT_EQ(0, X509_check_host(certificate, "node-2", 0, 0, nullptr));
  EXPECT_EQ(0, X509_check_ca(certificate));
  EXPECT_LT(X509_cmp_current_time(X509_get0_notBefore(certificate)), 0);
  EXPECT_GT(X509_cmp_current_time(X509_get0_notAfter(certificate)), 0);

  auto identity = TlsIdentity::self_signed("node-1");

  ASSERT_TRUE(identity);
  EXPECT_FALSE(shows(**identity, certificate)) << "each start makes another";
}

}  // namespace
}  // namespace partywall::access
