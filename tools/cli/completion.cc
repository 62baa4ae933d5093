// tools/cli/completion.cc: `partywall completion SHELL`: prints a completion script.
#include "tools/cli/completion_script.h"
#include "tools/cli/verbs.h"

namespace partywall::cli {

void add_completion(CLI::App& app, Session& /*session*/) {
  CLI::App* verb = app.add_subcommand("completion", "Print a completion script for a shell");
  auto shell = std::make_shared<std::string>();

  verb->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->footer(
      "bash: partywall completion bash > /etc/bash_completion.d/partywall\n"
      "zsh:  source <(partywall completion zsh)    (in ~/.zshrc, after compinit)\n"
      "fish: partywall completion fish > ~/.config/fish/completions/partywall.fish");
  verb->callback([&app, shell] {
    print(completion_script(app, *shell == "bash"  ? Shell::kBash
                                 : *shell == "zsh" ? Shell::kZsh
                                                   : Shell::kFish));
  });
}

}  // namespace partywall::cli
