// tests/unit/cli_completion_test.cc: completion scripts follow the command line as it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "tools/cli/completion_script.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {
namespace {

std::string script_of(Shell shell) {
  Session session;

  return completion_script(*make_app(session), shell);
}

// What bash would offer for `words`, the last of which is being typed.
std::string offered(const std::string& words) {
  std::string script = script_of(Shell::kBash);
  std::string path = testing::TempDir() + "partywall_completion.bash";

  if (FILE* file = fopen(path.c_str(), "w")) {
    fwrite(script.data(), 1, script.size(), file);
    fclose(file);
  }
  std::string command = "bash -c 'source " + path + "; COMP_WORDS=(" + words +
                        "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _partywall; echo "
                        "\"${COMPREPLY[*]}\"'";
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");

  for (int letter; pipe && (letter = fgetc(pipe)) != EOF;) out += static_cast<char>(letter);
  if (pipe) pclose(pipe);
  remove(path.c_str());
  out.erase(std::min(out.find('\n'), out.size()));
  return out;
}

TEST(CliCompletion, EveryVerbIsThere) {
  Session session;
  auto app = make_app(session);

  for (Shell shell : {Shell::kBash, Shell::kZsh, Shell::kFish})
    for (const CLI::App* verb : app->get_subcommands([](const CLI::App*) { return true; }))
      EXPECT_NE(std::string::npos, script_of(shell).find(verb->get_name())) << verb->get_name();
}

TEST(CliCompletion, BashOffersVerbsFlagsAndValues) {
  EXPECT_EQ("explain events", offered("partywall e"));
  EXPECT_EQ("tenant", offered("partywall show t"));
  EXPECT_EQ("tcp udp icmp tunnel", offered("partywall explain --proto \"\""));
  EXPECT_EQ("--port --proto --policy-dir", offered("partywall explain --p"));
  EXPECT_EQ("json", offered("partywall tenants -o j"));
  EXPECT_EQ("json", offered("partywall show tenant acme --output j"));
  EXPECT_EQ("bash", offered("partywall completion b"));
  EXPECT_EQ("never", offered("partywall usage --color n"));
  EXPECT_EQ("", offered("partywall explain --nonsense"));
}

TEST(CliCompletion, FishDescribesWhatItOffers) {
  std::string script = script_of(Shell::kFish);

  EXPECT_NE(std::string::npos,
            script.find("complete -c partywall -n '__fish_use_subcommand' -f -a doctor -d "));
  EXPECT_NE(std::string::npos,
            script.find("complete -c partywall -n '__fish_seen_subcommand_from show; and "
                        "__fish_seen_subcommand_from tenant' -s o -l output -x -a "
                        "'table wide json yaml' -d 'How to print it'"));
}

}  // namespace
}  // namespace partywall::cli
