// tests/unit/options_test.cc: flags and the configuration file of partywalld. Reads files that
// it makes in a temporary folder.
#include "agent/options.h"

#include <gmock/gmock.h>

#include "tests/unit/temporary_folder.h"

namespace partywall {
namespace {

using testing::HasSubstr;

class OptionsTest : public testing::Test {
 protected:
  // Parses; what was printed is in printed_.
  ParsedOptions parse(std::vector<std::string> arguments) {
    std::vector<char*> pointers{const_cast<char*>("partywalld")};

    for (std::string& argument : arguments) pointers.push_back(argument.data());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();

    ParsedOptions parsed = parse_options(static_cast<int>(pointers.size()), pointers.data());

    printed_ = testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();
    return parsed;
  }
  // The same with a configuration file of that text.
  ParsedOptions parse_config(const std::string& text, std::vector<std::string> arguments = {}) {
    folder_.write("agent.yaml", text);
    arguments.insert(arguments.begin(), {"--config", folder_.path("agent.yaml")});
    return parse(std::move(arguments));
  }
  // That it ends with 2, and says why.
  void expect_refused(const ParsedOptions& parsed, const std::string& why) {
    EXPECT_EQ(2, parsed.exit_code.value_or(-1)) << why;
    EXPECT_THAT(printed_, HasSubstr(why));
  }

  test::TemporaryFolder folder_;
  std::string printed_;
};

TEST_F(OptionsTest, Defaults) {
  ParsedOptions parsed = parse({"--policy-dir", "/p"});
  const Options& options = parsed.options;

  ASSERT_FALSE(parsed.exit_code) << printed_;
  EXPECT_EQ("", printed_);
  EXPECT_EQ("/p", options.policy_dir);
  EXPECT_EQ("", options.config);
  EXPECT_EQ("/tenants.slice", options.cgroup_root);
  EXPECT_EQ("/sys/fs/bpf/partywall", options.bpffs);
  EXPECT_EQ("127.0.0.1:9723", options.metrics);
  EXPECT_FALSE(options.metrics_remote);
  EXPECT_EQ("/run/partywall/agent.sock", options.control_socket);
  EXPECT_EQ("/run/partywall", options.state_dir);
  EXPECT_EQ("text", options.log_format);
  EXPECT_EQ("info", options.log_level);
  EXPECT_EQ("none", options.events);
  EXPECT_TRUE(options.syscalls);
  EXPECT_EQ(1024u, options.max_tenants);
  EXPECT_EQ("", options.node);
}

void expect_all(const Options& options) {
  EXPECT_EQ("/p", options.policy_dir);
  EXPECT_EQ("/a.slice/b", options.cgroup_root);
  EXPECT_EQ("/bpf/x", options.bpffs);
  EXPECT_EQ("", options.metrics);
  EXPECT_TRUE(options.metrics_remote);
  EXPECT_EQ("/s", options.control_socket);
  EXPECT_EQ("/st", options.state_dir);
  EXPECT_EQ("json", options.log_format);
  EXPECT_EQ("debug", options.log_level);
  EXPECT_EQ("stdout", options.events);
  EXPECT_FALSE(options.syscalls);
  EXPECT_EQ(65535u, options.max_tenants);
  EXPECT_EQ("n1", options.node);
}

TEST_F(OptionsTest, EveryFlag) {
  ParsedOptions parsed = parse({"--policy-dir=/p",
                                "--cgroup-root",
                                "/a.slice/b",
                                "--bpffs",
                                "/bpf/x",
                                "--metrics",
                                "",
                                "--metrics-remote",
                                "--control-socket",
                                "/s",
                                "--state-dir",
                                "/st",
                                "--log-format",
                                "json",
                                "--log-level",
                                "debug",
                                "--events",
                                "stdout",
                                "--syscalls",
                                "false",
                                "--max-tenants",
                                "65535",
                                "--node",
                                "n1"});

  ASSERT_FALSE(parsed.exit_code) << printed_;
  expect_all(parsed.options);
}

TEST_F(OptionsTest, EveryKeyOfTheFile) {
  ParsedOptions parsed = parse_config(R"(# all of them
policyDir: /p
cgroupRoot: /a.slice/b
bpffs: "/bpf/x"
metrics: ""
metricsRemote: true
controlSocket: /s
stateDir: /st
logFormat: json
logLevel: debug
events: stdout
syscalls: false
maxTenants: 65535
node: n1
infrastructure:
  - {name: dns, cidr: 10.0.0.53/32}
)");

  ASSERT_FALSE(parsed.exit_code) << printed_;
  expect_all(parsed.options);
  EXPECT_EQ(folder_.path("agent.yaml"), parsed.options.config);
}

TEST_F(OptionsTest, FlagsWinOverTheFile) {
  ParsedOptions parsed = parse_config("policyDir: /p\nlogLevel: debug\nmaxTenants: 5\n",
                                      {"--log-level", "warn", "--policy-dir", "/q"});

  ASSERT_FALSE(parsed.exit_code) << printed_;
  EXPECT_EQ("/q", parsed.options.policy_dir);
  EXPECT_EQ("warn", parsed.options.log_level);
  EXPECT_EQ(5u, parsed.options.max_tenants);
}

TEST_F(OptionsTest, AnEmptyFileSaysNothing) {
  for (const char* text : {"", "# nothing\n", "---\n", "{}\n"}) {
    ParsedOptions parsed = parse_config(text, {"--policy-dir", "/p"});

    EXPECT_FALSE(parsed.exit_code) << text << printed_;
    EXPECT_EQ(1024u, parsed.options.max_tenants);
  }
}

TEST_F(OptionsTest, WrongFlags) {
  expect_refused(parse({}), "--policy-dir is required");
  expect_refused(parse({"--policy-dir", "/p", "--metric", "x"}), "--metric");
  expect_refused(parse({"--policy-dir", "/p", "extra"}), "extra");
  expect_refused(parse({"--policy-dir"}), "--policy-dir");
  expect_refused(parse({"--policy-dir", "/p", "--log-format", "xml"}), "--log-format");
  expect_refused(parse({"--policy-dir", "/p", "--log-level", "trace"}), "--log-level");
  for (const char* count : {"1", "0", "65536", "-1", "many", "1.5", "4294967298"})
    expect_refused(parse({"--policy-dir", "/p", "--max-tenants", count}), "--max-tenants");
  for (const char* root : {"", "/", "tenants.slice", "/tenants.slice/"})
    expect_refused(parse({"--policy-dir", "/p", "--cgroup-root", root}),
                   "a path below the cgroup2 mount, like /tenants.slice");
  expect_refused(parse({"--policy-dir", "/p", "--syscalls", "maybe"}), "--syscalls");
  expect_refused(parse({"--policy-dir", "/p", "--config", folder_.path("none.yaml")}),
                 "none.yaml");
}

TEST_F(OptionsTest, HttpsGoesWithTheApiServer) {
  ParsedOptions parsed = parse(
      {"--kubernetes", "--https", "*:9724", "--https-certificate", "/c", "--https-key", "/k"});

  ASSERT_FALSE(parsed.exit_code) << printed_;
  EXPECT_EQ("*:9724", parsed.options.https);
  EXPECT_EQ("/c", parsed.options.https_certificate);
  EXPECT_EQ("/k", parsed.options.https_key);
  EXPECT_EQ("", parse({"--kubernetes"}).options.https);
  expect_refused(parse({"--policy-dir", "/p", "--https", "*:9724"}),
                 "--https goes with --kubernetes");
  expect_refused(parse({"--kubernetes", "--https", "*:1", "--https-key", "/k"}),
                 "--https-certificate and --https-key go together");
  expect_refused(parse({"--kubernetes", "--https-certificate", "/c", "--https-key", "/k"}),
                 "go with --https");
}

TEST_F(OptionsTest, WrongFiles) {
  expect_refused(parse_config("policyDir: /p\nmetric: x\n"),
                 "line 2: unknown key \"metric\", did you mean metrics? Known keys: "
                 "infrastructure, policyDir, kubernetes, ");
  expect_refused(parse_config("policyDir: /p\nmetrics: [a]\n"),
                 "line 2: metrics takes one value");
  expect_refused(parse_config("policy-dir: /p\n"),
                 "line 1: unknown key \"policy-dir\", did you mean policyDir?");
  expect_refused(parse_config("policyDir: /p\nmetrics:\n"), "line 2: metrics takes one value");
  expect_refused(parse_config("policyDir: /p\n---\nmetrics: x\n"), "line 3: a second document");
  expect_refused(parse_config("policyDir: {a: b}\n"), "line 1: policyDir takes one value");
  expect_refused(parse_config("- policyDir\n"), "the configuration is a mapping of keys");
  expect_refused(parse_config("policyDir\n"), "the configuration is a mapping of keys");
  expect_refused(parse_config("policyDir: [\n"), "line 2: ");
  expect_refused(parse_config("policyDir: \"\xff\"\n"), "line 1: this is no YAML");
  expect_refused(parse_config("policyDir: /p\nmaxTenants: 1\n"), "max-tenants");
  expect_refused(parse_config("policyDir: /p\nlogLevel: trace\n"), "log-level");
  expect_refused(parse_config("policyDir: /p\nsyscalls: maybe\n"), "syscalls");
  expect_refused(parse_config("policyDir: /p\nmetrics: a\nmetrics: b\n"),
                 "line 3: \"metrics\" is written twice");
  expect_refused(parse_config("? [policyDir]\n: /p\n"), "line 1: a list or a map is no key");
  expect_refused(parse_config("policyDir: /p\nconfig: /other\n"), "unknown key \"config\"");
}

TEST_F(OptionsTest, AMistakeOfTheFileIsSaidToBeThere) {
  std::string path = folder_.path("agent.yaml");

  for (auto [text, place] :
       {std::pair{"node: [x]\n", ": line 1: node takes one value"},
        {"- node\n", ": the configuration is a mapping"},
        {"node: x\nmaxTenants: many\n", ": line 2: --max-tenants: "},
        {"\n\nlogLevel: loud\n", ": line 3: --log-level: "},
        {"syscalls: maybe\n", ": line 1: Could not convert: --syscalls "}}) {
    expect_refused(parse_config(text, {"--policy-dir", "/p"}), path + place);
    EXPECT_EQ(0u, printed_.find(path)) << printed_;
  }
  // Control: these are the command line's.
  for (std::vector<std::string> flags :
       {std::vector<std::string>{"--max-tenants", "many"}, {"--metric", "x"}, {"--node"}}) {
    expect_refused(parse_config("policyDir: /p\nmaxTenants: 5\n", flags), flags[0]);
    EXPECT_EQ(std::string::npos, printed_.find(path)) << printed_;
  }
  expect_refused(parse_config("node: x\n"), "--policy-dir is required");
  EXPECT_EQ(std::string::npos, printed_.find(path)) << printed_;
}

TEST_F(OptionsTest, HelpAndVersion) {
  EXPECT_EQ(0, parse({"--help"}).exit_code.value_or(-1));
  for (const char* flag :
       {"--policy-dir", "--cgroup-root", "--metrics", "--max-tenants", "--config"})
    EXPECT_THAT(printed_, HasSubstr(flag));
  EXPECT_EQ(0, parse({"--version"}).exit_code.value_or(-1));
  EXPECT_THAT(printed_, HasSubstr("partywalld " PARTYWALL_VERSION));
}

}  // namespace
}  // namespace partywall
