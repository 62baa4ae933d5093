// agent/observe/http_page.cc: a Page through evhttp.
#include "agent/observe/http_page.h"

#include <event2/buffer.h>
#include <event2/http.h>

#include <memory>

namespace partywall::observe {

void send_page(evhttp_request* request, Page page) {
  // The buffer keeps the text until it is sent.
  auto kept = std::make_unique<Page>(std::move(page));
  evkeyvalq* headers = evhttp_request_get_output_headers(request);
  evbuffer* body = evbuffer_new();
  int status = kept->status;

  evhttp_add_header(headers, "Content-Type", kept->type.c_str());
  evhttp_add_header(headers, "Content-Length", std::to_string(kept->body.size()).c_str());
  for (const auto& [name, value] : kept->headers)
    evhttp_add_header(headers, name.c_str(), value.c_str());
  // evhttp would send the body to HEAD, too.
  if (evhttp_request_get_command(request) != EVHTTP_REQ_HEAD) {
    evbuffer_add_reference(
        body, kept->body.data(), kept->body.size(),
        [](const void*, size_t, void* owner) { delete static_cast<Page*>(owner); }, kept.get());
    static_cast<void>(kept.release());
  }
  evhttp_send_reply(request, status, nullptr, body);
  evbuffer_free(body);
}

}  // namespace partywall::observe
