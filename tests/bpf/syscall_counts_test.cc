// tests/bpf/syscall_counts_test.cc: the counted system calls, read in batches. Pins a map of
// its own and removes it.
#include "maps/syscall_counts.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>

#include "maps/fd.h"
#include "maps/pins.h"

namespace partywall {
namespace {

constexpr uint32_t kEntries = 20'000;

class SyscallCountsTest : public testing::Test {
 protected:
  void SetUp() override {
    pins_ = fmt::format("/sys/fs/bpf/pw-test-calls-{}", getpid());
    for (const std::string& folder : {pins_, pins_ + "/maps"})
      ASSERT_EQ(0, mkdir(folder.c_str(), 0700)) << folder << ": " << strerror(errno);
  }
  void TearDown() override { std::filesystem::remove_all(pins_); }

  void make_map(bpf_map_type type) {
    map_ = Fd(bpf_map_create(type, "syscalls", sizeof(abi::syscall_key), 8, kEntries, nullptr));
    ASSERT_TRUE(map_) << strerror(errno);
    ASSERT_EQ(0, bpf_obj_pin(map_.get(), map_pin(pins_, "syscalls").c_str()));
  }

  std::string pins_;
  size_t cpus_ = static_cast<size_t>(libbpf_num_possible_cpus());
  Fd map_;
};

TEST_F(SyscallCountsTest, NothingWasEverCounted) {
  auto counts = read_syscall_counts(pins_);

  ASSERT_TRUE(counts) << counts.error().message();
  EXPECT_TRUE(counts->empty());
  make_map(BPF_MAP_TYPE_PERCPU_HASH);
  counts = read_syscall_counts(pins_);
  ASSERT_TRUE(counts) << counts.error().message();
  EXPECT_TRUE(counts->empty());
}

TEST_F(SyscallCountsTest, EveryKeyOnceSummedOverTheCpus) {
  make_map(BPF_MAP_TYPE_PERCPU_HASH);

  std::map<std::tuple<unsigned, unsigned, unsigned>, uint64_t> expected;
  std::vector<uint64_t> values(cpus_);

  for (uint32_t i = 0; i < kEntries / 2; i++) {
    abi::syscall_key key{.tenant = static_cast<uint16_t>(i % 1000),
                         .abi = static_cast<uint16_t>(i % 3),
                         .number = i};
    uint64_t& sum = expected[{key.tenant, key.abi, key.number}];

    for (size_t cpu = 0; cpu < cpus_; cpu++) sum += values[cpu] = (i + 1) * (cpu + 1) << 20;
    ASSERT_EQ(0, bpf_map_update_elem(map_.get(), &key, values.data(), BPF_ANY));
  }
  auto counts = read_syscall_counts(pins_);

  ASSERT_TRUE(counts) << counts.error().message();
  EXPECT_EQ(expected.size(), counts->size()) << "several batches, nothing twice";
  for (const SyscallCount& one : *counts)
    EXPECT_EQ((expected[{one.key.tenant, one.key.abi, one.key.number}]), one.calls);
}

TEST_F(SyscallCountsTest, AMapThatCannotBeReadIsAFailure) {
  map_ = Fd(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "syscalls", 0, 0, 4096, nullptr));
  ASSERT_TRUE(map_);
  ASSERT_EQ(0, bpf_obj_pin(map_.get(), map_pin(pins_, "syscalls").c_str()));

  auto counts = read_syscall_counts(pins_);

  ASSERT_FALSE(counts);
  EXPECT_NE(std::string::npos, counts.error().message().find("map syscalls"));
}

}  // namespace
}  // namespace partywall
