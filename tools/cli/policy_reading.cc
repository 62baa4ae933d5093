// tools/cli/policy_reading.cc: finds policy files and has them parsed. Writes nothing.
#include "tools/cli/policy_reading.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace partywall::cli {
namespace {

namespace fs = std::filesystem;

Result<std::string> read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});

  if (!file.good() && !file.eof()) return fail_errno(errno, "read policy: {}", path.string());
  return text;
}

// The files of a folder in the order of their names, as the agent reads them.
Result<std::vector<fs::path>> policy_files(const std::string& path) {
  std::vector<fs::path> files;
  std::error_code error;

  if (fs::is_regular_file(path, error)) return std::vector<fs::path>{path};
  for (const auto& entry : fs::directory_iterator(path, error)) {
    std::string name = entry.path().filename().string();

    if (name.starts_with('.') || !(name.ends_with(".yaml") || name.ends_with(".yml"))) continue;
    files.push_back(entry.path());
  }
  if (error) return fail_errno(error.value(), "read policy: {}", path);
  std::ranges::sort(files);
  return files;
}

// A policy folder may also be a single file, to whose copy a suffix was added if it had none.
fs::path name_at_home(const fs::path& copy, const fs::path& home) {
  bool is_file = home.filename() == copy.filename() || home.filename() == copy.stem();

  return is_file ? home : home / copy.filename();
}

// `home`: where the files of the folder `path` came from, for what is said of them; "" = from
// there.
Result<policy::ParsedPolicy> read_files(const std::string& path, const std::string& home,
                                        const std::string& config,
                                        const std::string& managed_root) {
  auto files = policy_files(path);

  if (!files) return std::move(files.error());
  if (files->empty())
    return fail("read policy: {}: no *.yaml or *.yml file in this folder", path);

  std::vector<std::shared_ptr<const policy::ParsedFile>> parsed;

  for (const fs::path& file : *files) {
    auto text = read_text(file);

    if (!text) return std::move(text.error());

    fs::path name = home.empty() ? file : name_at_home(file, home);

    parsed.push_back(std::make_shared<policy::ParsedFile>(
        policy::parse_file(name.lexically_normal().string(), *text)));
  }
  policy::ParsedInfrastructure infrastructure;

  if (!config.empty()) {
    auto text = read_text(config);

    if (!text) return std::move(text.error());
    infrastructure = policy::parse_infrastructure(config, *text);
  }
  auto whole = policy::assemble(parsed, infrastructure.entries, managed_root);

  whole.problems.insert(whole.problems.begin(), infrastructure.problems.begin(),
                        infrastructure.problems.end());
  return whole;
}

}  // namespace

Result<policy::ParsedPolicy> read_policy(const std::string& path, const std::string& config,
                                         const std::string& managed_root) {
  return read_files(path, "", config, managed_root);
}

Result<policy::ParsedPolicy> read_policy_in_force(const Session& session) {
  std::string folder = session.state_dir + "/last-good";
  std::string config = folder + "/.config.yaml";
  std::error_code error;

  if (!fs::is_directory(folder, error))
    return fail("read the policy in force: {}: no such folder; see --state-dir", folder);

  std::ifstream home_file(folder + "/.policy-dir");
  std::string home;

  std::getline(home_file, home);
  return read_files(folder, home, fs::exists(config, error) ? config : "", "");
}

}  // namespace partywall::cli
