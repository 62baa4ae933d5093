// tools/cli/agent_client.cc: a blocking client of the control socket. Reads no map.
#include "tools/cli/agent_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "maps/fd.h"

namespace partywall::cli {
namespace {

constexpr size_t kMaxLine = 16 << 20;  // the status of an agent with very many problems

Result<Fd> connect_to(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX};

  if (path.size() >= sizeof(address.sun_path))
    return fail("connect to the agent: {}: a socket path has at most {} bytes", path,
                sizeof(address.sun_path) - 1);
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);

  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

  if (!fd) return fail_errno(errno, "make a socket");
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)))
    return fail_errno(errno, "connect to the agent: {}", path);
  return fd;
}

Result<void> send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);

    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return fail_errno(errno, "ask the agent");
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

// An answer that is {"error": "..."} is a failure in the agent's words.
Result<void> check_error(const std::string& line) {
  if (!line.starts_with("{\"error\"")) return {};

  Json answer = Json::parse(line, nullptr, false);

  if (answer.is_object() && answer.contains("error") && answer["error"].is_string())
    return fail("ask the agent: {}", answer["error"].get<std::string>());
  return {};
}

}  // namespace

Result<void> ask_agent(const std::string& socket_path, const Json& request,
                       std::chrono::milliseconds patience,
                       const std::function<bool(const std::string&)>& on_line) {
  auto fd = connect_to(socket_path);

  if (!fd) return std::move(fd.error());
  if (auto sent = send_all(fd->get(), request.dump() + "\n"); !sent) return sent;

  std::string pending;
  char bytes[16384];

  for (;;) {
    pollfd readable{.fd = fd->get(), .events = POLLIN};
    int timeout = patience.count() ? static_cast<int>(patience.count()) : -1;
    int ready = poll(&readable, 1, timeout);

    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0)
      return Error(fmt::format("ask the agent: {}: no answer within {} ms", socket_path,
                               patience.count()),
                   ETIMEDOUT);

    ssize_t got = read(fd->get(), bytes, sizeof(bytes));

    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, "read the agent's answer");
    if (got == 0) return {};
    pending.append(bytes, static_cast<size_t>(got));
    for (size_t end; (end = pending.find('\n')) != std::string::npos;) {
      std::string line = pending.substr(0, end);

      pending.erase(0, end + 1);
      if (auto fine = check_error(line); !fine) return fine;
      if (!on_line(line)) return {};
    }
    if (pending.size() > kMaxLine) return fail("read the agent's answer: a line has no end");
  }
}

std::optional<Json> agent_status(const Session& session) {
  std::optional<Json> status;
  auto asked = ask_agent(session.control_socket, {{"verb", "status"}}, std::chrono::seconds(2),
                         [&](const std::string& line) {
                           Json answer = Json::parse(line, nullptr, false);

                           if (answer.is_object()) status = std::move(answer);
                           return false;
                         });

  if (status) return status;
  if (!asked && asked.error().errno_value() != ENOENT &&
      asked.error().errno_value() != ECONNREFUSED)
    session.note(asked.error().message() + "; showing what the kernel enforces");
  else
    session.note("the agent is not running; showing what the kernel enforces");
  return status;
}

}  // namespace partywall::cli
