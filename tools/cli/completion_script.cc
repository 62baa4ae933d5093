// tools/cli/completion_script.cc: walks the CLI11 tree and prints it for bash, zsh or fish.
// Pure.
#include "tools/cli/completion_script.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace partywall::cli {
namespace {

struct Flag {
  std::vector<std::string> spellings;  // "-o", "--output"
  std::string description;
  bool takes_value = false;
  std::vector<std::string> values;  // the set, when it is one
};

// One verb with everything that can stand behind it.
struct Place {
  std::string path;  // "", "show", "show tenant"
  std::string description;
  std::vector<std::pair<std::string, std::string>> verbs;  // name, description
  std::vector<Flag> flags;
  std::vector<std::string> words;  // values of a positional that takes one of a set
};

// CLI11 writes the members of IsMember into the type's name: "TEXT:{table,wide}".
std::vector<std::string> members_of(const CLI::Option& option) {
  std::string type = option.get_type_name();
  size_t open = type.find('{');
  size_t close = type.rfind('}');
  std::vector<std::string> members;

  if (open == std::string::npos || close == std::string::npos) return members;
  for (size_t at = open + 1; at < close;) {
    size_t comma = std::min(type.find(',', at), close);

    members.push_back(type.substr(at, comma - at));
    at = comma + 1;
  }
  return members;
}

void collect(const CLI::App& app, const std::string& path, const std::vector<Flag>& inherited,
             std::vector<Place>& places) {
  Place place{.path = path, .description = app.get_description()};

  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      auto members = members_of(*option);

      place.words.insert(place.words.end(), members.begin(), members.end());
      continue;
    }
    Flag flag{.description = option->get_description(),
              .takes_value = option->get_items_expected_max() > 0,
              .values = members_of(*option)};

    for (const std::string& name : option->get_snames()) flag.spellings.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) flag.spellings.push_back("--" + name);
    place.flags.push_back(std::move(flag));
  }
  std::vector<Flag> below;

  for (const Flag& flag : path.empty() ? place.flags : inherited)
    if (flag.spellings.back() != "--help" && flag.spellings.back() != "--version")
      below.push_back(flag);
  if (!path.empty()) place.flags.insert(place.flags.end(), inherited.begin(), inherited.end());

  auto subcommands = app.get_subcommands([](const CLI::App*) { return true; });

  for (const CLI::App* verb : subcommands)
    place.verbs.emplace_back(verb->get_name(), verb->get_description());
  places.push_back(std::move(place));
  for (const CLI::App* verb : subcommands)
    collect(*verb, path.empty() ? verb->get_name() : path + " " + verb->get_name(), below,
            places);
}

// Inside single quotes of every shell here.
std::string quoted(std::string text, std::string_view escaped_quote) {
  for (size_t at = 0; (at = text.find('\'', at)) != std::string::npos;
       at += escaped_quote.size())
    text.replace(at, 1, escaped_quote);
  return "'" + text + "'";
}

std::string all_verbs(const std::vector<Place>& places) {
  std::vector<std::string> names;

  for (const Place& place : places)
    for (const auto& [name, description] : place.verbs) names.push_back(name);
  return fmt::format("{}", fmt::join(names, "|"));
}

std::string all_spellings(const Place& place) {
  std::vector<std::string> spellings;

  for (const Flag& flag : place.flags)
    spellings.insert(spellings.end(), flag.spellings.begin(), flag.spellings.end());
  return fmt::format("{}", fmt::join(spellings, " "));
}

// bash knows words only; zsh runs the same function through bashcompinit, so that there is one
// logic for both.
std::string bash_function(const std::vector<Place>& places) {
  std::string verbs = all_verbs(places);
  std::string out =
      "_partywall() {\n"
      "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} place= i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${COMP_WORDS[i]} in\n" +
      fmt::format("      {}) place=\"${{place:+$place }}${{COMP_WORDS[i]}}\" ;;\n", verbs) +
      "    esac\n"
      "  done\n"
      "  COMPREPLY=()\n"
      "  case \"$place:$before\" in\n";

  for (const Place& place : places)
    for (const Flag& flag : place.flags) {
      if (!flag.takes_value) continue;

      std::vector<std::string> patterns;

      for (const std::string& spelling : flag.spellings)
        patterns.push_back(fmt::format("'{}:{}'", place.path, spelling));
      out += fmt::format("    {}) ", fmt::join(patterns, "|"));
      if (flag.values.empty())
        out += "COMPREPLY=($(compgen -f -- \"$word\")) ;;\n";
      else
        out += fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\")) ;;\n",
                           fmt::join(flag.values, " "));
    }
  out += "    *)\n      case \"$place\" in\n";
  for (const Place& place : places) {
    std::vector<std::string> words = place.words;

    for (const auto& [name, description] : place.verbs) words.push_back(name);
    out += fmt::format("        '{}')\n", place.path);
    out += fmt::format(
        "          if [[ $word == -* ]]; then COMPREPLY=($(compgen -W '{}' -- \"$word\"))\n",
        all_spellings(place));
    if (words.empty())
      out += "          else COMPREPLY=($(compgen -f -- \"$word\")); fi ;;\n";
    else
      out += fmt::format("          else COMPREPLY=($(compgen -W '{}' -- \"$word\")); fi ;;\n",
                         fmt::join(words, " "));
  }
  out += "      esac ;;\n  esac\n}\ncomplete -F _partywall partywall\n";
  return out;
}

std::string fish_script(const std::vector<Place>& places) {
  std::string out;

  for (const Place& place : places) {
    std::string condition = "__fish_use_subcommand";

    if (!place.path.empty()) {
      condition = "__fish_seen_subcommand_from ";
      for (char letter : place.path) {
        if (letter == ' ')
          condition += "; and __fish_seen_subcommand_from ";
        else
          condition += letter;
      }
    }
    auto line = [&](const std::string& rest) {
      out += fmt::format("complete -c partywall -n '{}' {}\n", condition, rest);
    };

    for (const auto& [name, description] : place.verbs)
      line(fmt::format("-f -a {} -d {}", name, quoted(description, "\\'")));
    if (!place.words.empty()) line(fmt::format("-f -a '{}'", fmt::join(place.words, " ")));
    for (const Flag& flag : place.flags) {
      std::string rest;

      for (const std::string& spelling : flag.spellings)
        rest += spelling.starts_with("--") ? "-l " + spelling.substr(2) + " "
                                           : "-s " + spelling.substr(1) + " ";
      if (flag.takes_value)
        rest += flag.values.empty() ? "-r "
                                    : fmt::format("-x -a '{}' ", fmt::join(flag.values, " "));
      line(rest + "-d " + quoted(flag.description, "\\'"));
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const CLI::App& app, Shell shell) {
  std::vector<Place> places;

  collect(app, "", {}, places);
  switch (shell) {
    case Shell::kBash:
      return "# bash completion for partywall; from `partywall completion bash`\n" +
             bash_function(places);
    case Shell::kZsh:
      return "# zsh completion for partywall; in ~/.zshrc: source <(partywall completion zsh)\n"
             "autoload -U +X bashcompinit && bashcompinit\n" +
             bash_function(places);
    case Shell::kFish:
      return "# fish completion for partywall; from `partywall completion fish`\n" +
             fish_script(places);
  }
  return "";
}

}  // namespace partywall::cli
