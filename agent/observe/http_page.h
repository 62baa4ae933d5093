// agent/observe/http_page.h: what a server of the agent answers with. Knows no sockets.
#ifndef PARTYWALL_AGENT_OBSERVE_HTTP_PAGE_H
#define PARTYWALL_AGENT_OBSERVE_HTTP_PAGE_H

#include <string>
#include <utility>
#include <vector>

struct evhttp_request;

namespace partywall::observe {

struct Page {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers = {};  // beside type and length
};

// Answers the request, which is then evhttp's again. The body is not copied; to HEAD, it is not
// sent.
void send_page(evhttp_request* request, Page page);

}  // namespace partywall::observe

#endif
