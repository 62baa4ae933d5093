// agent/control/server.cc: accepts, checks who it is, answers. libevent's bufferevents do the
// waiting.
#include "agent/control/server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>

namespace partywall::control {
namespace {

using Json = nlohmann::json;

constexpr ptrdiff_t kMaxConnections = 16;
constexpr size_t kMaxRequest = 64 << 10;
constexpr size_t kMaxUnread = 1 << 20;
constexpr timeval kPatience = {.tv_sec = 1, .tv_usec = 0};

std::string error_line(const std::string& message) {
  return Json{{"error", message}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The cgroup2 path of a process; "" when it is gone.
std::string cgroup_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/cgroup", pid));

  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::")) return line.substr(3);
  return "";
}

// Why this peer may not ask; "" when it may.
std::string refusal(int fd, const std::string& managed_root) {
  ucred peer{};
  socklen_t size = sizeof(peer);

  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size)) return "who asks is not known";
  if (peer.uid != 0 && peer.uid != geteuid()) return "only root may ask; use sudo";

  std::string cgroup = cgroup_of(peer.pid);

  if (cgroup == managed_root || cgroup.starts_with(managed_root + "/"))
    return "a process of the managed root may not ask; run it outside of it";
  return "";
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX};

  if (path.size() >= sizeof(address.sun_path))
    return fail("control socket {}: a socket path has at most {} bytes", path,
                sizeof(address.sun_path) - 1);
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  return address;
}

// Whether somebody listens there: an agent that was killed leaves its socket behind. EAGAIN:
// one that hangs, with more callers than it lets wait.
bool is_answered(const sockaddr_un& address) {
  Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

  return probe && (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address),
                           sizeof(address)) == 0 ||
                   errno == EAGAIN);
}

Result<Fd> make_socket(const std::string& path) {
  auto address = address_of(path);

  if (!address) return std::move(address.error());

  size_t slash = path.rfind('/');
  std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);

  if (!folder.empty() && mkdir(folder.c_str(), 0700) && errno != EEXIST)
    return fail_errno(errno, "control socket: make folder {}", folder);
  if (is_answered(*address))
    return fail(
        "control socket {}: another agent answers there; stop it, or give this one its "
        "own --control-socket",
        path);
  if (unlink(path.c_str()) && errno != ENOENT)
    return fail_errno(errno, "control socket: remove the old {}", path);

  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  mode_t mask = umask(0177);
  int bound =
      fd ? bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) : -1;
  int error = errno;

  umask(mask);
  if (bound) return fail_errno(error, "control socket: bind {}", path);
  return fd;
}

}  // namespace

class Server::Connection {
 public:
  Connection(Server& server, int fd) : server_(server) {
    buffer_ = bufferevent_socket_new(server.base_, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(
        buffer_, [](bufferevent*, void* self) { static_cast<Connection*>(self)->on_bytes(); },
        [](bufferevent*, void* self) { static_cast<Connection*>(self)->on_sent(); },
        [](bufferevent*, short what, void* self) {
          static_cast<Connection*>(self)->on_event(what);
        },
        this);
    bufferevent_enable(buffer_, EV_READ | EV_WRITE);
    // One for the whole request: a byte now and then holds no connection.
    deadline_ = event_new(
        server.base_, -1, 0,
        [](evutil_socket_t, short, void* self) {
          static_cast<Connection*>(self)->on_deadline();
        },
        this);
    event_add(deadline_, &kPatience);
  }

  ~Connection() {
    if (subscription_) server_.events_.unsubscribe(subscription_);
    event_free(deadline_);
    bufferevent_free(buffer_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Says why, and goes on listening for a second: who is cut off while it still asks would not
  // read the answer.
  void refuse(const std::string& why) {
    set_answered();
    closing_ = refused_ = true;
    send(error_line(why));
    event_add(deadline_, &kPatience);
  }
  bool is_refused() const { return refused_; }

 private:
  void on_deadline() {
    if (refused_)
      server_.drop(this);
    else
      refuse("no request within a second");
  }

  void on_bytes() {
    evbuffer* input = bufferevent_get_input(buffer_);
    size_t length = 0;

    if (answered_) {  // whatever else it says
      evbuffer_drain(input, evbuffer_get_length(input));
      return;
    }
    std::unique_ptr<char, void (*)(void*)> line(
        evbuffer_readln(input, &length, EVBUFFER_EOL_LF), free);

    if (line)
      answer(std::string(line.get(), length));
    else if (evbuffer_get_length(input) > kMaxRequest)
      refuse(fmt::format("a request has at most {} bytes, in one line", kMaxRequest));
  }

  void on_sent() {
    if (closing_ && (!refused_ || asker_done_))
      server_.drop(this);
    else if (refused_)
      shutdown(bufferevent_getfd(buffer_), SHUT_WR);
  }

  // It went away, or does not read its answer. One that has only nothing more to say gets it.
  void on_event(short what) {
    asker_done_ = what & BEV_EVENT_EOF;
    if (!closing_ || !asker_done_ ||
        (refused_ && evbuffer_get_length(bufferevent_get_output(buffer_)) == 0))
      server_.drop(this);
  }

  void answer(const std::string& line) {
    Json request = Json::parse(line, nullptr, false);
    auto text = [&](const char* key) {
      auto found = request.is_object() ? request.find(key) : request.end();

      return found != request.end() && found->is_string() ? found->get<std::string>() : "";
    };
    std::string verb = text("verb");

    if (verb == "status") return finish(server_.options_.status());
    if (verb != "events") return refuse("ask for the verb status or events");

    std::string tenant = text("tenant");

    set_answered();
    for (const std::string& event : server_.events_.recent(tenant)) send(event);
    if (!request.value("follow", Json(false)).is_boolean() ||
        !request.value("follow", Json(false)).get<bool>())
      return finish("");
    // That it goes away is noticed by reading.
    subscription_ = server_.events_.subscribe(tenant, [this](const std::string& event) {
      if (evbuffer_get_length(bufferevent_get_output(buffer_)) > kMaxUnread)
        server_.events_.lost_by_reader();
      else
        send(event);
    });
  }

  void send(const std::string& line) {
    bufferevent_write(buffer_, line.data(), line.size());
    bufferevent_write(buffer_, "\n", 1);
  }

  void set_answered() {
    answered_ = true;
    event_del(deadline_);
  }

  // Sends a last line ("" = none); the connection ends when all is sent.
  void finish(const std::string& line) {
    set_answered();
    closing_ = true;
    bufferevent_set_timeouts(buffer_, nullptr, &kPatience);
    if (!line.empty()) send(line);
    if (evbuffer_get_length(bufferevent_get_output(buffer_)) == 0)
      bufferevent_trigger(buffer_, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
  }

  Server& server_;
  bufferevent* buffer_ = nullptr;
  event* deadline_ = nullptr;
  bool answered_ = false;
  bool closing_ = false;
  bool refused_ = false;
  bool asker_done_ = false;
  uint64_t subscription_ = 0;
};

void Server::Free::operator()(evconnlistener* listener) const { evconnlistener_free(listener); }

Server::Server(observe::EventFeed& events, Options options)
    : events_(events), options_(std::move(options)) {}

Server::~Server() { unlink(options_.path.c_str()); }

Result<std::unique_ptr<Server>> Server::start(observe::Loop& loop, observe::EventFeed& events,
                                              Options options) {
  auto fd = make_socket(options.path);

  if (!fd) return std::move(fd.error());

  std::unique_ptr<Server> server(new Server(events, std::move(options)));

  server->base_ = loop.base();
  server->listener_.reset(evconnlistener_new(
      loop.base(),
      [](evconnlistener*, evutil_socket_t accepted, sockaddr*, int, void* self) {
        static_cast<Server*>(self)->accept(accepted);
      },
      server.get(), LEV_OPT_CLOSE_ON_EXEC, 16, fd->get()));
  if (!server->listener_)
    return fail_errno(errno, "control socket: listen on {}", server->options_.path);
  server->socket_ = std::move(*fd);
  return server;
}

void Server::accept(int fd) {
  std::string why = refusal(fd, options_.managed_root);

  connections_.push_back(std::make_unique<Connection>(*this, fd));
  if (!why.empty())
    connections_.back()->refuse(why);
  else if (std::ranges::count_if(connections_, [](const auto& held) {
             return !held->is_refused();
           }) > kMaxConnections)
    connections_.back()->refuse("too many connections; try again");
}

void Server::drop(Connection* connection) {
  std::erase_if(connections_, [&](const auto& held) { return held.get() == connection; });
}

}  // namespace partywall::control
