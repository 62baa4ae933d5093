// tests/unit/temporary_folder.h: a folder for one test, removed with all that is in it.
#ifndef PARTYWALL_TESTS_UNIT_TEMPORARY_FOLDER_H
#define PARTYWALL_TESTS_UNIT_TEMPORARY_FOLDER_H

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace partywall::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = std::filesystem::temp_directory_path() / "partywall-test-XXXXXX";

    if (!mkdtemp(name.data())) ADD_FAILURE() << "make a folder like " << name;
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;

    std::filesystem::remove_all(path_, error);
    EXPECT_FALSE(error) << path_ << ": " << error.message();
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

  void make_folder(const std::string& name) {
    EXPECT_TRUE(std::filesystem::create_directory(path(name))) << name;
  }
  // Opens, writes and closes the file in place.
  void write(const std::string& name, const std::string& text) {
    std::ofstream file(path(name));

    file << text << std::flush;
    EXPECT_TRUE(file) << "write " << name;
  }
  void rename(const std::string& from, const std::string& to) {
    std::filesystem::rename(path(from), path(to));
  }
  void link(const std::string& target, const std::string& name) {
    std::filesystem::create_symlink(target, path(name));
  }
  void remove(const std::string& name) {
    EXPECT_GT(std::filesystem::remove_all(path(name)), 0u) << name;
  }

 private:
  std::string path_;
};

}  // namespace partywall::test

#endif
