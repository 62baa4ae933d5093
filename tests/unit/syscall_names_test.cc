// tests/unit/syscall_names_test.cc: the names against the numbers that this compiler knows.
#include "agent/observe/syscall_names.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>
#include <string>

namespace partywall::observe {
namespace {

TEST(SyscallNames, NativeOnesAreThoseOfTheHeaders) {
  EXPECT_STREQ("getppid", syscall_name(abi::SYSCALL_NATIVE, SYS_getppid));
  EXPECT_STREQ("openat", syscall_name(abi::SYSCALL_NATIVE, SYS_openat));
  EXPECT_STREQ("read", syscall_name(abi::SYSCALL_NATIVE, SYS_read));
  EXPECT_STREQ("bpf", syscall_name(abi::SYSCALL_NATIVE, SYS_bpf));
  EXPECT_STREQ("io_uring_enter", syscall_name(abi::SYSCALL_NATIVE, SYS_io_uring_enter));
}

#ifdef __x86_64__
TEST(SyscallNames, A32BitCallIsNotWhatItsNumberMeansIn64Bits) {
  EXPECT_STREQ("getppid", syscall_name(abi::SYSCALL_COMPAT, 64));
  EXPECT_STREQ("openat", syscall_name(abi::SYSCALL_COMPAT, 295));
  EXPECT_STREQ("close", syscall_name(abi::SYSCALL_COMPAT, 6));
  EXPECT_STREQ("lstat", syscall_name(abi::SYSCALL_NATIVE, 6));
  EXPECT_STREQ("socket", syscall_name(abi::SYSCALL_COMPAT, 359));
}

TEST(SyscallNames, X32NumbersAreThoseBelowItsBit) {
  EXPECT_STREQ("getppid", syscall_name(abi::SYSCALL_X32, 110));
  EXPECT_STREQ("execve", syscall_name(abi::SYSCALL_X32, 520));
}
#endif

// Otherwise a tenant could make as many series as there are numbers.
TEST(SyscallNames, UnknownNumbersShareOneName) {
  for (uint32_t number : {1000u, 1023u, 1024u, 65'536u, 0x40000000u, 0xffffffffu})
    for (unsigned convention = 0; convention < abi::SYSCALL_ABI_COUNT; convention++)
      EXPECT_STREQ(kUnknownSyscall, syscall_name(static_cast<uint16_t>(convention), number))
          << convention << " " << number;
  for (uint16_t convention : {uint16_t{abi::SYSCALL_ABI_COUNT}, uint16_t{65'535}})
    EXPECT_STREQ(kUnknownSyscall, syscall_name(convention, SYS_getppid));
}

TEST(SyscallNames, NamesAreWordsAndMany) {
  int named = 0;

  for (uint32_t number = 0; number < 1024; number++) {
    std::string name = syscall_name(abi::SYSCALL_NATIVE, number);

    ASSERT_FALSE(name.empty());
    EXPECT_TRUE(std::ranges::all_of(name, [](char letter) {
      return std::isalnum(letter) || letter == '_';
    })) << name;
    named += name != kUnknownSyscall;
  }
  EXPECT_GT(named, 250);
}

TEST(SyscallNames, Conventions) {
  EXPECT_STREQ("native", convention_name(abi::SYSCALL_NATIVE));
  EXPECT_STREQ("compat", convention_name(abi::SYSCALL_COMPAT));
  EXPECT_STREQ("x32", convention_name(abi::SYSCALL_X32));
  EXPECT_STREQ("unknown", convention_name(abi::SYSCALL_ABI_COUNT));
}

}  // namespace
}  // namespace partywall::observe
