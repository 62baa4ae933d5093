// agent/observe/syscall_names.cc: the table that syscall_names.py took out of the headers.
// Pure.
#include "agent/observe/syscall_names.h"

#include <array>

namespace partywall::observe {
namespace {

constexpr uint32_t kMaxNumber = 1024;

using Names = std::array<std::array<const char*, kMaxNumber>, abi::SYSCALL_ABI_COUNT>;

constexpr Names make_names() {
  Names names{};

#define NAME(convention, number, name) \
  if (number < kMaxNumber) names[abi::SYSCALL_##convention][number] = name;
#include "observe/syscall_names.inc"
#undef NAME
  return names;
}

constexpr Names kNames = make_names();

}  // namespace

const char* syscall_name(uint16_t convention, uint32_t number) {
  if (convention >= kNames.size() || number >= kMaxNumber) return kUnknownSyscall;

  const char* name = kNames[convention][number];

  return name ? name : kUnknownSyscall;
}

const char* convention_name(uint16_t convention) {
  constexpr std::array kConventions = {"native", "compat", "x32"};
  static_assert(kConventions.size() == abi::SYSCALL_ABI_COUNT);

  return convention < kConventions.size() ? kConventions[convention] : "unknown";
}

}  // namespace partywall::observe
