// maps/result.h: a value or the reason why there is none. No exceptions, no I/O.
#ifndef PARTYWALL_MAPS_RESULT_H
#define PARTYWALL_MAPS_RESULT_H

#include <fmt/format.h>

#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace partywall {

// Why something failed: attempt, object, reason, and what would be accepted. `errno_value` is 0
// when no system call was involved.
class Error {
 public:
  explicit Error(std::string message, int errno_value = 0)
      : message_(std::move(message)), errno_(errno_value) {}

  const std::string& message() const { return message_; }
  int errno_value() const { return errno_; }

  // The same error seen from further out: "<context>: <message>".
  Error within(std::string_view context) && {
    message_ = fmt::format("{}: {}", context, message_);
    return std::move(*this);
  }

 private:
  std::string message_;
  int errno_;
};

// The value that a Result<void> carries.
struct Done {};

// std::expected in miniature (g++ 12 has no usable one): member names are expected's.
template <typename T>
class [[nodiscard]] Result {
  using Value = std::conditional_t<std::is_void_v<T>, Done, T>;

 public:
  Result() requires std::is_void_v<T> : state_(Done{}) {}
  Result(Value value) : state_(std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  Value& value() { return std::get<0>(state_); }
  const Value& value() const { return std::get<0>(state_); }
  Value& operator*() { return value(); }
  const Value& operator*() const { return value(); }
  Value* operator->() { return &value(); }
  const Value* operator->() const { return &value(); }

  Error& error() { return std::get<1>(state_); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<Value, Error> state_;
};

template <typename... Args>
Error fail(fmt::format_string<Args...> format, Args&&... args) {
  return Error(fmt::format(format, std::forward<Args>(args)...));
}

// `errno_value` is appended in words: "open /x: No such file or directory".
template <typename... Args>
Error fail_errno(int errno_value, fmt::format_string<Args...> format, Args&&... args) {
  errno_value = errno_value < 0 ? -errno_value : errno_value;
  return Error(fmt::format("{}: {}", fmt::format(format, std::forward<Args>(args)...),
                           std::strerror(errno_value)),
               errno_value);
}

}  // namespace partywall

#endif
