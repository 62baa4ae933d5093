// tests/unit/kube_config_test.cc: kubeconfig files and service accounts, good and refused.
#include "agent/source/kubernetes/kube_config.h"

#include <gmock/gmock.h>

#include "tests/unit/temporary_folder.h"

namespace partywall::kubernetes {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class KubeConfigTest : public testing::Test {
 protected:
  // A file whose cluster and user have these fields.
  Result<ApiAccess> read(const std::string& cluster, const std::string& user) {
    folder_.write("config", fmt::format("apiVersion: v1\n"
                                        "kind: Config\n"
                                        "current-context: here\n"
                                        "contexts:\n"
                                        "- name: other\n"
                                        "  context: {{cluster: none, user: none}}\n"
                                        "- name: here\n"
                                        "  context: {{cluster: c, user: u, namespace: tools}}\n"
                                        "clusters:\n"
                                        "- name: c\n"
                                        "  cluster: {{{}}}\n"
                                        "users:\n"
                                        "- name: u\n"
                                        "  user: {{{}}}\n",
                                        cluster, user));
    return kubeconfig_access(folder_.path("config"));
  }
  std::string refusal(const std::string& cluster, const std::string& user) {
    auto access = read(cluster, user);

    return access ? "accepted" : access.error().message();
  }
  std::string refusal_of(const std::string& text) {
    folder_.write("config", text);

    auto access = kubeconfig_access(folder_.path("config"));

    return access ? "accepted" : access.error().message();
  }

  test::TemporaryFolder folder_;
};

TEST_F(KubeConfigTest, ReadsTheCurrentContext) {
  auto access = read("server: 'https://10.0.0.1:6443/', certificate-authority: ca.crt",
                     "token: abc, client-certificate: /etc/c.pem, client-key-data: a2V5");

  ASSERT_TRUE(access) << access.error().message();
  EXPECT_EQ("https://10.0.0.1:6443", access->server);
  EXPECT_EQ(folder_.path("ca.crt"), access->ca_file);
  EXPECT_EQ("abc", access->token);
  EXPECT_EQ("/etc/c.pem", access->client_cert_file);
  EXPECT_EQ("key", access->client_key_data);
  EXPECT_EQ("tools", access->namespace_);
  EXPECT_FALSE(access->insecure_skip_verify);
}

TEST_F(KubeConfigTest, DataComesBeforeFilesAndATokensFileBeforeTheToken) {
  auto access = read(
      "server: 'https://h', certificate-authority: ca.crt, certificate-authority-data: Y2E=",
      "token: abc, tokenFile: t");

  ASSERT_TRUE(access) << access.error().message();
  EXPECT_EQ("", access->ca_file);
  EXPECT_EQ("ca", access->ca_data);
  EXPECT_EQ("", access->token);
  EXPECT_EQ(folder_.path("t"), access->token_file);
}

TEST_F(KubeConfigTest, WithoutVerificationOnlyWhenItSaysSo) {
  auto access = read("server: 'https://h', insecure-skip-tls-verify: true", "token: t");

  ASSERT_TRUE(access) << access.error().message();
  EXPECT_TRUE(access->insecure_skip_verify);
  EXPECT_THAT(refusal("server: 'https://h', insecure-skip-tls-verify: yes", "token: t"),
              HasSubstr("clusters[0].cluster.insecure-skip-tls-verify: write true or false"));
  EXPECT_THAT(refusal("server: 'https://h', insecure-skip-tls-verify: true, "
                      "certificate-authority: ca.crt",
                      "token: t"),
              HasSubstr("insecure-skip-tls-verify: an authority is named as well"));
}

TEST_F(KubeConfigTest, RefusesWhatItDoesNotHave) {
  std::string good = "server: 'https://h'";

  EXPECT_EQ("accepted", refusal(good, "token: t"));
  EXPECT_THAT(refusal(good, "exec: {command: aws}"),
              AllOf(HasSubstr(folder_.path("config")),
                    HasSubstr("users[0].user.exec: programs that print credentials")));
  EXPECT_THAT(refusal(good, "auth-provider: {name: gcp}"),
              HasSubstr("users[0].user.auth-provider: auth providers are not supported"));
  EXPECT_THAT(refusal(good, "username: a, password: b"), HasSubstr("users[0].user.username"));
  EXPECT_THAT(refusal(good, "token: t, as: root"), HasSubstr("users[0].user.as: imperson"));
  EXPECT_THAT(refusal(good + ", proxy-url: 'http://p'", "token: t"),
              HasSubstr("clusters[0].cluster.proxy-url: proxies are not supported"));
}

TEST_F(KubeConfigTest, RefusesToSendCredentialsUnencrypted) {
  EXPECT_EQ("accepted", refusal("server: 'http://127.0.0.1:8001'", ""));
  for (const char* user :
       {"token: t", "tokenFile: t", "client-certificate-data: YQ==, client-key-data: YQ=="})
    EXPECT_THAT(refusal("server: 'http://h'", user), HasSubstr("would travel unencrypted"));
}

TEST_F(KubeConfigTest, NamesTheFieldThatIsMissingOrWrong) {
  EXPECT_THAT(refusal("", "token: t"), HasSubstr("clusters[0].cluster.server: is missing"));
  EXPECT_THAT(refusal("server: h", "token: t"), HasSubstr("'h' is no address"));
  EXPECT_THAT(refusal("server: 'https://u:p@h'", "token: t"), HasSubstr("host and port only"));
  EXPECT_THAT(refusal("server: 'https://h', certificate-authority-data: '*'", "token: t"),
              HasSubstr("certificate-authority-data: is not base64"));
  EXPECT_THAT(refusal("server: [a]", "token: t"), HasSubstr("server: is a list or map"));
  EXPECT_THAT(refusal("server: 'https://h'", "client-certificate: c"),
              HasSubstr("users[0].user.client-key: is missing"));
  EXPECT_THAT(refusal("server: 'https://h'", "client-key: c"),
              HasSubstr("users[0].user.client-certificate: is missing"));
  EXPECT_THAT(refusal_of("a: b\n"), HasSubstr("config: current-context: is missing"));
  EXPECT_THAT(refusal_of("current-context: x\ncontexts: []\n"),
              HasSubstr("contexts: there is no entry with the name 'x'"));
  EXPECT_THAT(refusal_of("current-context: x\n"
                         "contexts: [{name: x, context: {cluster: c, user: u}}]\n"),
              HasSubstr("clusters: there is no entry with the name 'c'"));
  EXPECT_THAT(refusal_of("a: [\n"), HasSubstr("config:2:1: "));
  EXPECT_THAT(refusal_of("- a\n"), HasSubstr("this is no kubeconfig"));
  EXPECT_THAT(refusal_of(""), HasSubstr("it is empty"));

  auto absent = kubeconfig_access(folder_.path("absent"));

  ASSERT_FALSE(absent);
  EXPECT_THAT(absent.error().message(), HasSubstr("absent: No such file"));
}

// The variables of a pod, for one test.
class InClusterTest : public KubeConfigTest {
 protected:
  InClusterTest() { set("10.96.0.1", "443"); }
  ~InClusterTest() override { set(nullptr, nullptr); }

  static void set(const char* host, const char* port) {
    host ? setenv("KUBERNETES_SERVICE_HOST", host, 1) : unsetenv("KUBERNETES_SERVICE_HOST");
    port ? setenv("KUBERNETES_SERVICE_PORT", port, 1) : unsetenv("KUBERNETES_SERVICE_PORT");
  }
  void fill() {
    folder_.write("ca.crt", "authority");
    folder_.write("token", "secret\n");
    folder_.write("namespace", "partywall\n");
  }
};

TEST_F(InClusterTest, ReadsTheServiceAccount) {
  fill();

  auto access = in_cluster_access(folder_.path());

  ASSERT_TRUE(access) << access.error().message();
  EXPECT_EQ("https://10.96.0.1:443", access->server);
  EXPECT_EQ(folder_.path("ca.crt"), access->ca_file);
  EXPECT_EQ(folder_.path("token"), access->token_file);
  EXPECT_EQ("partywall", access->namespace_);

  set("fd00::1", "6443");
  access = in_cluster_access(folder_.path());
  ASSERT_TRUE(access) << access.error().message();
  EXPECT_EQ("https://[fd00::1]:6443", access->server);
}

TEST_F(InClusterTest, SaysWhatIsMissing) {
  fill();
  set(nullptr, "443");

  auto access = in_cluster_access(folder_.path());

  ASSERT_FALSE(access);
  EXPECT_THAT(access.error().message(), HasSubstr("KUBERNETES_SERVICE_HOST is not set"));

  set("10.96.0.1", "443");
  folder_.remove("token");
  access = in_cluster_access(folder_.path());
  ASSERT_FALSE(access);
  EXPECT_THAT(access.error().message(),
              AllOf(HasSubstr("the pod's service account"), HasSubstr("/token: No such file")));
}

}  // namespace
}  // namespace partywall::kubernetes
