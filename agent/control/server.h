// agent/control/server.h: the Unix socket that the CLI asks. Reads only: no verb changes
// anything.
#ifndef PARTYWALL_AGENT_CONTROL_SERVER_H
#define PARTYWALL_AGENT_CONTROL_SERVER_H

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/observe/event_feed.h"
#include "agent/observe/loop.h"
#include "maps/fd.h"
#include "maps/result.h"

struct evconnlistener;
struct event_base;

namespace partywall::control {

// One JSON object per connection, in one line; JSON lines back.
//
//   {"verb": "status"}                                        one line
//   {"verb": "events", "tenant": "acme", "follow": true}      one line each: what is kept,
//   then,
//                                                             with follow, what happens
//
// An error is {"error": "..."}. Only root may connect, and no process of the managed root. A
// request has 64 KiB and one second; 16 connections at a time; a follower who does not read
// loses lines.
class Server {
 public:
  struct Options {
    std::string path;          // of the socket; made with mode 0600, its folder with 0700
    std::string managed_root;  // below the cgroup2 mount: its processes are tenants'
    std::function<std::string()> status;  // one line
  };

  // Fails when another agent answers on `path`, and when the socket cannot be made.
  static Result<std::unique_ptr<Server>> start(observe::Loop& loop, observe::EventFeed& events,
                                               Options options);
  ~Server();

 private:
  class Connection;
  struct Free {
    void operator()(evconnlistener* listener) const;
  };

  Server(observe::EventFeed& events, Options options);
  void accept(int fd);
  void drop(Connection* connection);

  observe::EventFeed& events_;
  Options options_;
  event_base* base_ = nullptr;
  Fd socket_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::unique_ptr<evconnlistener, Free> listener_;
};

}  // namespace partywall::control

#endif
